#include <cstring>

#include "addon.h"

namespace tattler::addon {

namespace {

// Errors of open() carry errno's name, so that TypeScript can tell them apart.
void throwSystemError(Napi::Env env, int error) {
  Napi::Error thrown = Napi::Error::New(env, std::strerror(error));
  thrown.Set("errno", Napi::Number::New(env, error));
  thrown.ThrowAsJavaScriptException();
}

double realOf(const Napi::Object& options, const char* name) {
  return options.Get(name).As<Napi::Number>().DoubleValue();
}

size_t sizeOf(const Napi::Object& options, const char* name) {
  return static_cast<size_t>(realOf(options, name));
}

template <class Element>
std::span<Element> memoryOf(const Napi::Object& options, const char* name) {
  auto buffer = options.Get(name).As<Napi::ArrayBuffer>();
  return {static_cast<Element*>(buffer.Data()), buffer.ByteLength() / sizeof(Element)};
}

}  // namespace

struct HubObject::Waker {
  napi_threadsafe_function function = nullptr;
  HubObject* hub = nullptr;

  static void call(napi_env env, napi_value callback, void* context, void*) {
    auto* self = static_cast<Waker*>(context);
    if (!env || !self->hub) return;
    self->hub->drain(env, Napi::Function(env, callback));
  }

  void wake() { napi_call_threadsafe_function(function, nullptr, napi_tsfn_nonblocking); }
};

Napi::Function HubObject::define(Napi::Env env) {
  return DefineClass(env, "Hub",
                     {
                         InstanceMethod<&HubObject::nowMs>("nowMs"),
                         InstanceMethod<&HubObject::poll>("poll"),
                         InstanceMethod<&HubObject::readIndex>("readIndex"),
                         InstanceMethod<&HubObject::consume>("consume"),
                         InstanceMethod<&HubObject::drainedThroughMs>("drainedThroughMs"),
                         InstanceMethod<&HubObject::requestDrain>("requestDrain"),
                         InstanceMethod<&HubObject::flush>("flush"),
                         InstanceMethod<&HubObject::intern>("intern"),
                         InstanceMethod<&HubObject::find>("find"),
                         InstanceMethod<&HubObject::retain>("retain"),
                         InstanceMethod<&HubObject::release>("release"),
                         InstanceMethod<&HubObject::nameOf>("nameOf"),
                         InstanceMethod<&HubObject::idOf>("idOf"),
                         InstanceMethod<&HubObject::ringKey>("ringKey"),
                         InstanceMethod<&HubObject::internAddress>("internAddress"),
                         InstanceMethod<&HubObject::retainAddress>("retainAddress"),
                         InstanceMethod<&HubObject::releaseAddress>("releaseAddress"),
                         InstanceMethod<&HubObject::addressOf>("addressOf"),
                         InstanceMethod<&HubObject::open>("open"),
                         InstanceMethod<&HubObject::close>("close"),
                         InstanceMethod<&HubObject::deliver>("deliver"),
                         InstanceMethod<&HubObject::answer>("answer"),
                         InstanceMethod<&HubObject::takeOutgoing>("takeOutgoing"),
                         InstanceMethod<&HubObject::parse>("parse"),
                     });
}

HubObject::HubObject(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<HubObject>(info), env_(info.Env()) {
  const auto given = info[0].As<Napi::Object>();
  Hub::Options options;
  options.backend = given.Get("backend").As<Napi::String>().Utf8Value();
  options.ring = memoryOf<Record>(given, "ring");
  options.slab = memoryOf<uint8_t>(given, "slab");
  options.maxEndpoints = static_cast<uint32_t>(sizeOf(given, "maxEndpoints"));
  options.transmitBytes = sizeOf(given, "transmitBytes");
  options.maxDatagramBytes = sizeOf(given, "maxDatagramBytes");
  options.poison = given.Get("poison").ToBoolean();
  const auto counters = memoryOf<uint64_t>(given, "counters");
  const auto heard = memoryOf<double>(given, "heard");
  options.counters = counters.data();
  options.heardMs = heard.data();
  const bool fits = counters.size() >= size_t{options.maxEndpoints} * wire::Counter_count &&
                    heard.size() >= options.maxEndpoints && !options.ring.empty() &&
                    (options.ring.size() & (options.ring.size() - 1)) == 0;
  if (!fits) {
    Napi::RangeError::New(info.Env(), "the hub's memory does not fit its options")
        .ThrowAsJavaScriptException();
    return;
  }
  for (const char* name : {"ring", "slab", "counters", "heard"}) {
    memory_.push_back(Napi::Persistent(given.Get(name).As<Napi::ArrayBuffer>()));
  }
  if (options.backend != "manual" && !startWaker(info.Env(), info[1].As<Napi::Function>())) return;
  hub_ = Hub::make(options, [waker = waker_.get()] { waker->wake(); });
  if (!hub_) {
    shutDown();
    Napi::RangeError::New(info.Env(), "this platform has no back end " + options.backend)
        .ThrowAsJavaScriptException();
    return;
  }
  // Registered after the waker's own hook, so that it runs before it: the thread ends first.
  napi_add_env_cleanup_hook(env_, onEnvironmentExit, this);
  Ref();
}

bool HubObject::startWaker(Napi::Env env, Napi::Function onWake) {
  waker_ = std::make_unique<Waker>();
  waker_->hub = this;
  const auto name = Napi::String::New(env, "tattler");
  return napi_create_threadsafe_function(env, onWake, nullptr, name, 0, 1, nullptr, nullptr,
                                         waker_.get(), Waker::call,
                                         &waker_->function) == napi_ok;
}

void HubObject::drain(Napi::Env env, Napi::Function onWake) {
  Napi::HandleScope scope(env);
  const std::shared_ptr<Hub> hub = hub_;
  if (!hub || hub->isShutDown()) return;
  hub->noteDrain();
  // Called bare: what it throws stays pending and Node reports it; in a worker that is being
  // terminated the call fails, and nothing may be thrown in its place.
  napi_value undefined = nullptr;
  napi_get_undefined(env, &undefined);
  napi_value answer = nullptr;
  if (napi_call_function(env, undefined, onWake, 0, nullptr, &answer) != napi_ok) return;
  bool comesBack = false;
  if (napi_get_value_bool(env, answer, &comesBack) == napi_ok && comesBack) return;
  // What the callback left in the ring would otherwise wait for the next datagram.
  if (!hub->isShutDown() && hub->ring().readable() > 0) waker_->wake();
}

void HubObject::shutDown() {
  if (hub_ && hub_->isShutDown()) return;
  if (hub_) hub_->shutDown();
  if (!waker_) return;
  waker_->hub = nullptr;
  napi_release_threadsafe_function(waker_->function, napi_tsfn_release);
}

void HubObject::onEnvironmentExit(void* self) { static_cast<HubObject*>(self)->shutDown(); }

void HubObject::Finalize(Napi::Env) { shutDown(); }

void HubObject::close(const Napi::CallbackInfo&) {
  if (!hub_ || hub_->isShutDown()) return;
  shutDown();
  napi_remove_env_cleanup_hook(env_, onEnvironmentExit, this);
  Unref();
}

// --- time and the ring

Napi::Value HubObject::nowMs(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), hub_->nowMs());
}

Napi::Value HubObject::poll(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), hub_->poll());
}

Napi::Value HubObject::readIndex(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), hub_->ring().readIndex());
}

void HubObject::consume(const Napi::CallbackInfo& info) { hub_->consume(number(info, 0)); }

Napi::Value HubObject::drainedThroughMs(const Napi::CallbackInfo& info) {
  const double ms = hub_->isShutDown() ? hub_->nowMs() : hub_->drainedThroughMs();
  return Napi::Number::New(info.Env(), ms);
}

void HubObject::requestDrain(const Napi::CallbackInfo&) { hub_->requestDrain(); }

void HubObject::flush(const Napi::CallbackInfo&) { hub_->flush(); }

// --- names and addresses

Napi::Value HubObject::intern(const Napi::CallbackInfo& info) {
  const std::string name = info[0].As<Napi::String>().Utf8Value();
  return Napi::Number::New(info.Env(), hub_->interner().intern(name));
}

Napi::Value HubObject::find(const Napi::CallbackInfo& info) {
  const std::string name = info[0].As<Napi::String>().Utf8Value();
  return Napi::Number::New(info.Env(), hub_->interner().findName(name));
}

Napi::Value HubObject::retain(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), hub_->interner().retain(number(info, 0)));
}

void HubObject::release(const Napi::CallbackInfo& info) {
  hub_->interner().release(number(info, 0));
}

Napi::Value HubObject::nameOf(const Napi::CallbackInfo& info) {
  const std::string_view name = hub_->interner().nameOf(number(info, 0));
  return Napi::String::New(info.Env(), name.data(), name.size());
}

Napi::Value HubObject::idOf(const Napi::CallbackInfo& info) {
  return Napi::BigInt::New(info.Env(), hub_->interner().idOf(number(info, 0)));
}

Napi::Value HubObject::ringKey(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), hub_->interner().ringKey(number(info, 0), number(info, 1)));
}

Napi::Value HubObject::internAddress(const Napi::CallbackInfo& info) {
  const auto address = addressFrom(info[0], info[1]);
  const AddressHandle handle = address ? hub_->interner().internAddress(*address) : 0;
  return Napi::Number::New(info.Env(), handle);
}

void HubObject::retainAddress(const Napi::CallbackInfo& info) {
  hub_->interner().retainAddress(number(info, 0));
}

void HubObject::releaseAddress(const Napi::CallbackInfo& info) {
  hub_->interner().releaseAddress(number(info, 0));
}

Napi::Value HubObject::addressOf(const Napi::CallbackInfo& info) {
  const Address* address = hub_->interner().addressOf(number(info, 0));
  const MutableBytes out = bytesOf(info[1]);
  if (!address || out.size() != address->ip.size()) return Napi::Number::New(info.Env(), 0);
  std::memcpy(out.data(), address->ip.data(), out.size());
  return Napi::Number::New(info.Env(), address->port);
}

// --- endpoints

Napi::Value HubObject::open(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto given = info[0].As<Napi::Object>();
  const auto bind = addressFrom(given.Get("ip"), given.Get("port"));
  if (!bind || hub_->isShutDown()) {
    Napi::TypeError::New(env, "the hub is closed, or ip has not 16 bytes")
        .ThrowAsJavaScriptException();
    return env.Undefined();
  }
  EndpointConfig config;
  config.bind = *bind;
  config.self = given.Get("self").As<Napi::Number>().Uint32Value();
  config.selfId = hub_->interner().idOf(config.self);
  config.cluster = given.Get("cluster").As<Napi::String>().Utf8Value();
  if (given.Get("keyring").IsObject()) {
    config.keyring = KeyringObject::Unwrap(given.Get("keyring").As<Napi::Object>())->keyring();
  }
  config.stallToleranceMs = realOf(given, "stallToleranceMs");
  config.pingsPerSecond = realOf(given, "pingsPerSecond");
  config.datagramBytes = sizeOf(given, "datagramBytes");
  config.retransmitMult = static_cast<uint32_t>(sizeOf(given, "retransmitMult"));
  config.queueRecords = static_cast<uint32_t>(sizeOf(given, "queueRecords"));
  config.messageShare = realOf(given, "messageShare");
  config.gossipFeedback = given.Get("gossipFeedback").ToBoolean();
  if (given.Has("urgentFanout")) config.urgentFanout = static_cast<uint32_t>(sizeOf(given, "urgentFanout"));
  if (env.IsExceptionPending()) return env.Undefined();
  const Bytes networks = bytesOf(given.Get("networks"));
  const auto allow = AllowList::fromFlat(networks);
  if (!allow || (networks.empty() && !given.Get("networks").IsUndefined())) {
    Napi::TypeError::New(env, "networks is no list of networks").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  config.allow = *allow;
  EndpointObject::Seed seed{hub_, hub_->open(std::move(config))};
  if (!seed.opened.endpoint) {
    throwSystemError(env, seed.opened.socket.error);
    return env.Undefined();
  }
  auto& constructors = *env.GetInstanceData<Constructors>();
  return constructors.endpoint.New({Napi::External<EndpointObject::Seed>::New(env, &seed)});
}

// --- manual hubs

Napi::Value HubObject::deliver(const Napi::CallbackInfo& info) {
  const double nowMs = info[3].As<Napi::Number>().DoubleValue();
  const bool kept = hub_->isManual() &&
                    hub_->deliver(number(info, 0), number(info, 1), bytesOf(info[2]), nowMs,
                                  info[4].IsUndefined() || info[4].ToBoolean());
  return Napi::Boolean::New(info.Env(), kept);
}

Napi::Value HubObject::answer(const Napi::CallbackInfo& info) {
  const bool answered =
      hub_->isManual() && hub_->answer(number(info, 0), number(info, 1), bytesOf(info[2]));
  return Napi::Boolean::New(info.Env(), answered);
}

Napi::Value HubObject::takeOutgoing(const Napi::CallbackInfo& info) {
  if (!hub_->isManual()) return Napi::Boolean::New(info.Env(), false);
  const auto taken = hub_->takeOutgoing(bytesOf(info[0]));
  if (!taken) return Napi::Boolean::New(info.Env(), false);
  auto out = info[1].As<Napi::Uint32Array>();
  if (out.ElementLength() < 3) return Napi::Boolean::New(info.Env(), false);
  out.Data()[0] = taken->endpoint;
  out.Data()[1] = taken->to;
  out.Data()[2] = static_cast<uint32_t>(taken->bytes);
  return Napi::Boolean::New(info.Env(), true);
}

Napi::Value HubObject::parse(const Napi::CallbackInfo& info) {
  const double nowMs = info[2].As<Napi::Number>().DoubleValue();
  const bool valid = hub_->isManual() && hub_->parse(number(info, 0), bytesOf(info[1]), nowMs);
  return Napi::Boolean::New(info.Env(), valid);
}

}  // namespace tattler::addon
