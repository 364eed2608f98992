#include "addon.h"

namespace tattler::addon {

static_assert(static_cast<int>(EndReason::limit) == wire::BroadcastEnd_sent);
static_assert(static_cast<int>(EndReason::replaced) == wire::BroadcastEnd_replaced);
static_assert(static_cast<int>(EndReason::pruned) == wire::BroadcastEnd_pruned);

namespace {

Napi::Boolean truth(const Napi::CallbackInfo& info, bool value) {
  return Napi::Boolean::New(info.Env(), value);
}

Napi::Number count(const Napi::CallbackInfo& info, double value) {
  return Napi::Number::New(info.Env(), value);
}

uint8_t small(const Napi::CallbackInfo& info, size_t index) {
  return static_cast<uint8_t>(number(info, index));
}

uint64_t wide(const Napi::CallbackInfo& info, size_t lowIndex) {
  return static_cast<uint64_t>(number(info, lowIndex + 1)) << 32 | number(info, lowIndex);
}

// Six bytes as one whole number, the first the lowest (src/wire/versions.ts); none when negative.
std::optional<VersionBytes> versionsOf(const Napi::Value& value) {
  if (!value.IsNumber()) return std::nullopt;
  const int64_t packed = value.As<Napi::Number>().Int64Value();
  if (packed < 0) return std::nullopt;
  VersionBytes versions;
  for (size_t i = 0; i < versions.size(); i++) {
    versions[i] = static_cast<uint8_t>(packed >> (8 * i));
  }
  return versions;
}

}  // namespace

Napi::Function EndpointObject::define(Napi::Env env) {
  return DefineClass(env, "Endpoint",
                     {
                         InstanceMethod<&EndpointObject::ping>("ping"),
                         InstanceMethod<&EndpointObject::pingAndAccuse>("pingAndAccuse"),
                         InstanceMethod<&EndpointObject::ack>("ack"),
                         InstanceMethod<&EndpointObject::nack>("nack"),
                         InstanceMethod<&EndpointObject::pingRequest>("pingRequest"),
                         InstanceMethod<&EndpointObject::gossip>("gossip"),
                         InstanceMethod<&EndpointObject::sendUrgent>("sendUrgent"),
                         InstanceMethod<&EndpointObject::message>("message"),
                         InstanceMethod<&EndpointObject::tellAlive>("tellAlive"),
                         InstanceMethod<&EndpointObject::tellDeath>("tellDeath"),
                         InstanceMethod<&EndpointObject::queueAlive>("queueAlive"),
                         InstanceMethod<&EndpointObject::queueSuspect>("queueSuspect"),
                         InstanceMethod<&EndpointObject::queueDeath>("queueDeath"),
                         InstanceMethod<&EndpointObject::queueMessage>("queueMessage"),
                         InstanceMethod<&EndpointObject::withdrawMessage>("withdrawMessage"),
                         InstanceMethod<&EndpointObject::takeFinished>("takeFinished"),
                         InstanceMethod<&EndpointObject::relay>("relay"),
                         InstanceMethod<&EndpointObject::isQueued>("isQueued"),
                         InstanceMethod<&EndpointObject::queueDepth>("queueDepth"),
                         InstanceMethod<&EndpointObject::messageDepth>("messageDepth"),
                         InstanceMethod<&EndpointObject::hasNews>("hasNews"),
                         InstanceMethod<&EndpointObject::maxMessageBytes>("maxMessageBytes"),
                         InstanceMethod<&EndpointObject::setClusterSize>("setClusterSize"),
                         InstanceMethod<&EndpointObject::setDigest>("setDigest"),
                         InstanceMethod<&EndpointObject::setAckPayload>("setAckPayload"),
                         InstanceMethod<&EndpointObject::setEncryption>("setEncryption"),
                         InstanceMethod<&EndpointObject::seal>("seal"),
                         InstanceMethod<&EndpointObject::open>("open"),
                         InstanceMethod<&EndpointObject::verifyFrame>("verifyFrame"),
                         InstanceMethod<&EndpointObject::close>("close"),
                     });
}

EndpointObject::EndpointObject(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<EndpointObject>(info) {
  if (!info[0].IsExternal()) {
    Napi::TypeError::New(info.Env(), "endpoints are opened by a hub").ThrowAsJavaScriptException();
    return;
  }
  Seed& seed = *info[0].As<Napi::External<Seed>>().Data();
  hub_ = seed.hub;
  endpoint_ = seed.opened.endpoint;
  auto self = info.This().As<Napi::Object>();
  self.Set("index", count(info, endpoint_->index()));
  self.Set("port", count(info, seed.opened.socket.port));
  self.Set("receiveBufferBytes", count(info, seed.opened.socket.receiveBufferBytes));
}

// --- datagrams

Napi::Value EndpointObject::ping(const Napi::CallbackInfo& info) {
  Endpoint* e = endpoint();
  return truth(info, e && e->sendPing(number(info, 0), number(info, 1), number(info, 2)));
}

Napi::Value EndpointObject::pingAndAccuse(const Napi::CallbackInfo& info) {
  Endpoint* e = endpoint();
  return truth(info, e && e->sendAccusingPing(number(info, 0), number(info, 1), number(info, 2),
                                              number(info, 3), small(info, 4)));
}

Napi::Value EndpointObject::ack(const Napi::CallbackInfo& info) {
  Endpoint* e = endpoint();
  return truth(info, e && e->sendAck(number(info, 0), number(info, 1), info[2].ToBoolean()));
}

Napi::Value EndpointObject::nack(const Napi::CallbackInfo& info) {
  Endpoint* e = endpoint();
  return truth(info, e && e->sendNack(number(info, 0), number(info, 1)));
}

Napi::Value EndpointObject::pingRequest(const Napi::CallbackInfo& info) {
  Endpoint* e = endpoint();
  return truth(info, e && e->sendPingRequest(number(info, 0), number(info, 1), number(info, 2),
                                             number(info, 3)));
}

Napi::Value EndpointObject::gossip(const Napi::CallbackInfo& info) {
  Endpoint* e = endpoint();
  return count(info, e ? e->sendGossip(number(info, 0)) : 0);
}

Napi::Value EndpointObject::sendUrgent(const Napi::CallbackInfo& info) {
  Endpoint* e = endpoint();
  if (!e) return count(info, 0);
  const auto targets = info[0].As<Napi::Uint32Array>();
  const size_t wanted = std::min<size_t>(number(info, 1), targets.ElementLength());
  return count(info, e->sendUrgent({targets.Data(), wanted}));
}

Napi::Value EndpointObject::message(const Napi::CallbackInfo& info) {
  Endpoint* e = endpoint();
  return truth(info, e && e->sendMessage(number(info, 0), bytesOf(info[1])));
}

Napi::Value EndpointObject::tellAlive(const Napi::CallbackInfo& info) {
  Endpoint* e = endpoint();
  return truth(info, e && e->tellAlive(number(info, 0), number(info, 1), number(info, 2),
                                       number(info, 3), bytesOf(info[4]), versionsOf(info[5])));
}

Napi::Value EndpointObject::tellDeath(const Napi::CallbackInfo& info) {
  Endpoint* e = endpoint();
  return truth(info, e && e->tellDeath(number(info, 0), number(info, 1), number(info, 2),
                                       number(info, 3), small(info, 4)));
}

// --- the broadcast queue

void EndpointObject::queueAlive(const Napi::CallbackInfo& info) {
  if (Endpoint* e = endpoint()) {
    e->queueAlive(number(info, 0), number(info, 1), number(info, 2), bytesOf(info[3]),
                  versionsOf(info[4]), info[5].ToBoolean());
  }
}

void EndpointObject::queueAccusation(RecordClass kind, const Napi::CallbackInfo& info) {
  if (Endpoint* e = endpoint()) {
    e->queueAccusation(kind, number(info, 0), number(info, 1), number(info, 2), small(info, 3),
                       info[4].ToBoolean());
  }
}

void EndpointObject::queueSuspect(const Napi::CallbackInfo& info) {
  queueAccusation(RecordClass::suspect, info);
}

void EndpointObject::queueDeath(const Napi::CallbackInfo& info) {
  queueAccusation(RecordClass::death, info);
}

Napi::Value EndpointObject::queueMessage(const Napi::CallbackInfo& info) {
  Endpoint* e = endpoint();
  return truth(info, e && e->queueMessage(number(info, 0), wide(info, 1), bytesOf(info[3]),
                                          number(info, 4)));
}

Napi::Value EndpointObject::withdrawMessage(const Napi::CallbackInfo& info) {
  Endpoint* e = endpoint();
  return truth(info, e && e->queue().removeMessage(number(info, 0)));
}

Napi::Value EndpointObject::takeFinished(const Napi::CallbackInfo& info) {
  Endpoint* e = endpoint();
  const auto ends = e ? e->queue().takeFinished() : std::vector<Finished>{};
  auto list = Napi::Uint32Array::New(info.Env(), ends.size() * 2);
  for (size_t i = 0; i < ends.size(); ++i) {
    list[2 * i] = ends[i].token;
    list[2 * i + 1] = static_cast<uint32_t>(ends[i].reason);
  }
  return list;
}

void EndpointObject::relay(const Napi::CallbackInfo& info) {
  if (Endpoint* e = endpoint()) e->relay(hub_->ring().at(number(info, 0)), info[1].ToBoolean());
}

Napi::Value EndpointObject::isQueued(const Napi::CallbackInfo& info) {
  Endpoint* e = endpoint();
  return truth(info, e && e->queue().isQueued(number(info, 0)));
}

Napi::Value EndpointObject::queueDepth(const Napi::CallbackInfo& info) {
  Endpoint* e = endpoint();
  return count(info, e ? static_cast<double>(e->queue().membershipDepth()) : 0);
}

Napi::Value EndpointObject::messageDepth(const Napi::CallbackInfo& info) {
  Endpoint* e = endpoint();
  return count(info, e ? static_cast<double>(e->queue().messageDepth()) : 0);
}

Napi::Value EndpointObject::hasNews(const Napi::CallbackInfo& info) {
  const Endpoint* e = endpoint();
  return truth(info, e && e->hasNews());
}

Napi::Value EndpointObject::maxMessageBytes(const Napi::CallbackInfo& info) {
  Endpoint* e = endpoint();
  return count(info, e ? static_cast<double>(e->maxMessageBytes()) : 0);
}

void EndpointObject::setClusterSize(const Napi::CallbackInfo& info) {
  if (Endpoint* e = endpoint()) e->queue().setClusterSize(number(info, 0));
}

void EndpointObject::setDigest(const Napi::CallbackInfo& info) {
  if (Endpoint* e = endpoint()) e->setDigest(wide(info, 0));
}

void EndpointObject::setAckPayload(const Napi::CallbackInfo& info) {
  Endpoint* e = endpoint();
  if (e && !e->setAckPayload(bytesOf(info[0]))) {
    Napi::RangeError::New(info.Env(), "the ack payload is too long").ThrowAsJavaScriptException();
  }
}

void EndpointObject::setEncryption(const Napi::CallbackInfo& info) {
  if (Endpoint* e = endpoint()) e->setEncryption(info[0].ToBoolean(), info[1].ToBoolean());
}

// --- stream chunks

Napi::Value EndpointObject::seal(const Napi::CallbackInfo& info) {
  Endpoint* e = endpoint();
  const Bytes frame = bytesOf(info[0]);
  auto buffer = Napi::ArrayBuffer::New(info.Env(), frame.size() + Endpoint::kChunkOverheadBytes);
  const size_t bytes =
      e ? e->sealFrame(frame, bytesOf(info[1]), static_cast<uint8_t*>(buffer.Data())) : 0;
  return Napi::Uint8Array::New(info.Env(), bytes, buffer, 0);
}

Napi::Value EndpointObject::open(const Napi::CallbackInfo& info) {
  Endpoint* e = endpoint();
  const Bytes chunk = bytesOf(info[0]);
  if (!e) return count(info, wire::Counter_framesRejected);
  auto buffer = Napi::ArrayBuffer::New(info.Env(), chunk.size());
  const auto opened = e->openFrame(chunk, bytesOf(info[1]), static_cast<uint8_t*>(buffer.Data()));
  if (const auto* refusal = std::get_if<wire::Counter>(&opened)) return count(info, *refusal);
  return Napi::Uint8Array::New(info.Env(), std::get<size_t>(opened), buffer, 0);
}

Napi::Value EndpointObject::verifyFrame(const Napi::CallbackInfo& info) {
  return truth(info, isVerifiedFrame(bytesOf(info[0])));
}

void EndpointObject::close(const Napi::CallbackInfo&) {
  if (!endpoint_) return;
  if (!hub_->isShutDown()) hub_->close(*endpoint_);
  endpoint_.reset();
  hub_.reset();
}

}  // namespace tattler::addon
