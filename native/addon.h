// The border to JavaScript. Only addon*.cc files speak Node-API; no exception crosses it.
#pragma once

#include <napi.h>

#include "hub.h"

namespace tattler::addon {

// One per environment: the main thread and every worker have their own.
struct Constructors {
  Napi::FunctionReference hub;
  Napi::FunctionReference endpoint;
  Napi::FunctionReference keyring;
};

class KeyringObject : public Napi::ObjectWrap<KeyringObject> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit KeyringObject(const Napi::CallbackInfo& info);
  std::shared_ptr<const Keyring> keyring() const { return keyring_; }

 private:
  Napi::Value add(const Napi::CallbackInfo& info);
  Napi::Value use(const Napi::CallbackInfo& info);
  Napi::Value remove(const Napi::CallbackInfo& info);
  Napi::Value ids(const Napi::CallbackInfo& info);

  std::shared_ptr<Keyring> keyring_;
};

class HubObject : public Napi::ObjectWrap<HubObject> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit HubObject(const Napi::CallbackInfo& info);
  void Finalize(Napi::Env env) override;

 private:
  // Wakes JavaScript from the I/O thread; lives until both sides have let go.
  struct Waker;

  Napi::Value nowMs(const Napi::CallbackInfo& info);
  Napi::Value poll(const Napi::CallbackInfo& info);
  Napi::Value readIndex(const Napi::CallbackInfo& info);
  void consume(const Napi::CallbackInfo& info);
  Napi::Value drainedThroughMs(const Napi::CallbackInfo& info);
  void requestDrain(const Napi::CallbackInfo& info);
  void flush(const Napi::CallbackInfo& info);
  Napi::Value intern(const Napi::CallbackInfo& info);
  Napi::Value find(const Napi::CallbackInfo& info);
  Napi::Value retain(const Napi::CallbackInfo& info);
  void release(const Napi::CallbackInfo& info);
  Napi::Value nameOf(const Napi::CallbackInfo& info);
  Napi::Value idOf(const Napi::CallbackInfo& info);
  Napi::Value ringKey(const Napi::CallbackInfo& info);
  Napi::Value internAddress(const Napi::CallbackInfo& info);
  void retainAddress(const Napi::CallbackInfo& info);
  void releaseAddress(const Napi::CallbackInfo& info);
  Napi::Value addressOf(const Napi::CallbackInfo& info);
  Napi::Value open(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);
  Napi::Value deliver(const Napi::CallbackInfo& info);
  Napi::Value answer(const Napi::CallbackInfo& info);
  Napi::Value takeOutgoing(const Napi::CallbackInfo& info);
  Napi::Value parse(const Napi::CallbackInfo& info);

  bool startWaker(Napi::Env env, Napi::Function onWake);
  void drain(Napi::Env env, Napi::Function onWake);
  void shutDown();
  static void onEnvironmentExit(void* self);

  std::shared_ptr<Hub> hub_;
  std::vector<Napi::Reference<Napi::ArrayBuffer>> memory_;
  std::unique_ptr<Waker> waker_;
  Napi::Env env_;
};

class EndpointObject : public Napi::ObjectWrap<EndpointObject> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit EndpointObject(const Napi::CallbackInfo& info);

  // What Hub.open hands to the constructor.
  struct Seed {
    std::shared_ptr<Hub> hub;
    Hub::OpenResult opened;
  };

 private:
  Napi::Value ping(const Napi::CallbackInfo& info);
  Napi::Value pingAndAccuse(const Napi::CallbackInfo& info);
  Napi::Value ack(const Napi::CallbackInfo& info);
  Napi::Value nack(const Napi::CallbackInfo& info);
  Napi::Value pingRequest(const Napi::CallbackInfo& info);
  Napi::Value gossip(const Napi::CallbackInfo& info);
  Napi::Value sendUrgent(const Napi::CallbackInfo& info);
  Napi::Value message(const Napi::CallbackInfo& info);
  Napi::Value tellAlive(const Napi::CallbackInfo& info);
  Napi::Value tellDeath(const Napi::CallbackInfo& info);
  void queueAlive(const Napi::CallbackInfo& info);
  void queueSuspect(const Napi::CallbackInfo& info);
  void queueDeath(const Napi::CallbackInfo& info);
  void setAckPayload(const Napi::CallbackInfo& info);
  void setEncryption(const Napi::CallbackInfo& info);
  Napi::Value queueMessage(const Napi::CallbackInfo& info);
  Napi::Value withdrawMessage(const Napi::CallbackInfo& info);
  Napi::Value takeFinished(const Napi::CallbackInfo& info);
  void relay(const Napi::CallbackInfo& info);
  Napi::Value isQueued(const Napi::CallbackInfo& info);
  Napi::Value queueDepth(const Napi::CallbackInfo& info);
  Napi::Value messageDepth(const Napi::CallbackInfo& info);
  Napi::Value hasNews(const Napi::CallbackInfo& info);
  Napi::Value maxMessageBytes(const Napi::CallbackInfo& info);
  void setClusterSize(const Napi::CallbackInfo& info);
  void setDigest(const Napi::CallbackInfo& info);
  Napi::Value seal(const Napi::CallbackInfo& info);
  Napi::Value open(const Napi::CallbackInfo& info);
  Napi::Value verifyFrame(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  void queueAccusation(RecordClass kind, const Napi::CallbackInfo& info);
  // Null once closed.
  Endpoint* endpoint() const { return hub_ && !hub_->isShutDown() ? endpoint_.get() : nullptr; }

  std::shared_ptr<Hub> hub_;
  std::shared_ptr<Endpoint> endpoint_;
};

inline uint32_t number(const Napi::CallbackInfo& info, size_t index) {
  return info[index].As<Napi::Number>().Uint32Value();
}

// The bytes of a Uint8Array; empty for anything else.
MutableBytes bytesOf(const Napi::Value& value);
// 16 bytes of IP and a port; nothing when the IP has another length.
std::optional<Address> addressFrom(const Napi::Value& ip, const Napi::Value& port);

}  // namespace tattler::addon
