#include "addon.h"

namespace tattler::addon {

namespace {

Napi::Object describeLayout(Napi::Env env) {
  Napi::Object layout = Napi::Object::New(env);
  const auto set = [&](const char* name, size_t value) {
    layout.Set(name, Napi::Number::New(env, static_cast<double>(value)));
  };
  const auto word = [&](const char* name, size_t offset) { set(name, offset / sizeof(uint32_t)); };
  set("recordWords", sizeof(Record) / sizeof(uint32_t));
  word("kind", offsetof(Record, kind));
  word("endpoint", offsetof(Record, endpoint));
  word("subject", offsetof(Record, subject));
  word("from", offsetof(Record, from));
  word("incarnation", offsetof(Record, incarnation));
  word("seq", offsetof(Record, seq));
  word("flags", offsetof(Record, flags));
  word("source", offsetof(Record, source));
  word("offset", offsetof(Record, offset));
  word("length", offsetof(Record, length));
  word("address", offsetof(Record, address));
  word("prefix", offsetof(Record, prefix));
  word("wideLow", offsetof(Record, wideLow));
  word("wideHigh", offsetof(Record, wideHigh));
  set("receivedAtFloat64", offsetof(Record, receivedAtMs) / sizeof(double));
  set("flagAnswered", kFlagAnswered);
  set("flagDirect", kFlagDirect);
  set("evidenceShift", kEvidenceShift);
  set("hopsShift", kHopsShift);
  set("headerBytes", kHeaderBytes);
  set("tagBytes", kTagBytes);
  set("countersPerEndpoint", wire::Counter_count);
  set("maxAckPayloadBytes", kMaxAckPayloadBytes);
  layout.Freeze();
  return layout;
}

Napi::Value clusterTag(const Napi::CallbackInfo& info) {
  const std::string name = info[0].As<Napi::String>().Utf8Value();
  const Bytes bytes{reinterpret_cast<const uint8_t*>(name.data()), name.size()};
  return Napi::Number::New(info.Env(), blake2bPrefix(bytes));
}

Napi::Object start(Napi::Env env, Napi::Object exports) {
  auto* constructors = new Constructors;
  constructors->hub = Napi::Persistent(HubObject::define(env));
  constructors->endpoint = Napi::Persistent(EndpointObject::define(env));
  constructors->keyring = Napi::Persistent(KeyringObject::define(env));
  exports.Set("layout", describeLayout(env));
  exports.Set("Hub", constructors->hub.Value());
  exports.Set("Keyring", constructors->keyring.Value());
  exports.Set("clusterTag", Napi::Function::New(env, clusterTag, "clusterTag"));
  env.SetInstanceData(constructors);
  return exports;
}

}  // namespace

MutableBytes bytesOf(const Napi::Value& value) {
  if (!value.IsTypedArray()) return {};
  const auto array = value.As<Napi::TypedArray>();
  if (array.TypedArrayType() != napi_uint8_array) return {};
  auto bytes = array.As<Napi::Uint8Array>();
  return {bytes.Data(), bytes.ByteLength()};
}

std::optional<Address> addressFrom(const Napi::Value& ip, const Napi::Value& port) {
  const MutableBytes bytes = bytesOf(ip);
  Address address;
  if (bytes.size() != address.ip.size()) return std::nullopt;
  std::memcpy(address.ip.data(), bytes.data(), bytes.size());
  address.port = static_cast<uint16_t>(port.As<Napi::Number>().Uint32Value());
  return address;
}

// --- Keyring

Napi::Function KeyringObject::define(Napi::Env env) {
  return DefineClass(env, "Keyring",
                     {InstanceMethod<&KeyringObject::add>("add"),
                      InstanceMethod<&KeyringObject::use>("use"),
                      InstanceMethod<&KeyringObject::remove>("remove"),
                      InstanceMethod<&KeyringObject::ids>("ids")});
}

KeyringObject::KeyringObject(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<KeyringObject>(info), keyring_(std::make_shared<Keyring>()) {}

Napi::Value KeyringObject::add(const Napi::CallbackInfo& info) {
  const auto id = keyring_->add(bytesOf(info[0]));
  if (id) return Napi::Number::New(info.Env(), *id);
  Napi::RangeError::New(info.Env(), "a key has 16, 24 or 32 bytes").ThrowAsJavaScriptException();
  return info.Env().Undefined();
}

Napi::Value KeyringObject::use(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), keyring_->use(number(info, 0)));
}

Napi::Value KeyringObject::remove(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), keyring_->remove(number(info, 0)));
}

Napi::Value KeyringObject::ids(const Napi::CallbackInfo& info) {
  const std::vector<KeyPtr> keys = keyring_->keys();
  Napi::Array ids = Napi::Array::New(info.Env(), keys.size());
  for (uint32_t i = 0; i < keys.size(); i++) ids.Set(i, Napi::Number::New(info.Env(), keys[i]->id()));
  return ids;
}

}  // namespace tattler::addon

static Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  return tattler::addon::start(env, exports);
}

NODE_API_MODULE(tattler, initialize)
