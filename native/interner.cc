#include "interner.h"

#include <bit>
#include <cstring>
#include <utility>

namespace tattler {

namespace {

// The ASCII bytes "tattler.memberid", little endian. Part of the wire format: never change it.
constexpr uint64_t kNameKeyLow = 0x2e72656c74746174u;
constexpr uint64_t kNameKeyHigh = 0x64697265626d656du;

uint64_t readLittle(const uint8_t* bytes, size_t count) {
  uint64_t word = 0;
  for (size_t i = 0; i < count; ++i) word |= static_cast<uint64_t>(bytes[i]) << (8 * i);
  return word;
}

// Eight bytes in the order of this machine.
uint64_t readNative(const uint8_t* bytes) {
  uint64_t word = 0;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

uint64_t readLittle(const uint8_t* bytes) {
  return std::endian::native == std::endian::little ? readNative(bytes) : readLittle(bytes, 8);
}

struct SipState {
  uint64_t v0, v1, v2, v3;

  SipState(uint64_t keyLow, uint64_t keyHigh)
      : v0(keyLow ^ 0x736f6d6570736575u),
        v1(keyHigh ^ 0x646f72616e646f6du),
        v2(keyLow ^ 0x6c7967656e657261u),
        v3(keyHigh ^ 0x7465646279746573u) {}

  void round() {
    v0 += v1;
    v2 += v3;
    v1 = std::rotl(v1, 13) ^ v0;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 = std::rotl(v0, 32);
    v2 += v1;
    v0 += v3;
    v1 = std::rotl(v1, 17) ^ v2;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 = std::rotl(v2, 32);
  }

  void absorb(uint64_t word) {
    v3 ^= word;
    round();
    round();
    v0 ^= word;
  }
};

}  // namespace

uint64_t sipHash24(uint64_t keyLow, uint64_t keyHigh, Bytes input) {
  SipState state(keyLow, keyHigh);
  const size_t whole = input.size() / 8 * 8;
  for (size_t at = 0; at < whole; at += 8) state.absorb(readLittle(input.data() + at));
  const uint64_t length = static_cast<uint64_t>(input.size()) << 56;
  const uint64_t rest = input.size() == whole
                            ? 0
                            : readLittle(input.data() + whole, input.size() - whole);
  state.absorb(length | rest);
  state.v2 ^= 0xff;
  for (int i = 0; i < 4; ++i) state.round();
  return state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
}

uint32_t HandlePool::acquire() {
  uint32_t handle = 0;
  if (!free_.empty()) {
    handle = free_.back();
    free_.pop_back();
  } else if (references_.size() < limit_) {
    references_.push_back(0);
    handle = static_cast<uint32_t>(references_.size());
  } else {
    return 0;
  }
  references_[handle - 1] = 1;
  ++live_;
  return handle;
}

bool HandlePool::retain(uint32_t handle) {
  if (!isLive(handle)) return false;
  ++references_[handle - 1];
  return true;
}

bool HandlePool::release(uint32_t handle) {
  if (!isLive(handle) || --references_[handle - 1] != 0) return false;
  --live_;
  return true;
}

uint32_t HandlePool::recycleOne(uint64_t readPosition) {
  if (quarantine_.empty() || quarantine_.front().stamp > readPosition) return 0;
  const uint32_t handle = quarantine_.front().handle;
  quarantine_.pop_front();
  free_.push_back(handle);
  return handle;
}

Interner::Interner(RingPosition ringWritePosition, uint32_t limit)
    : ringWritePosition_(std::move(ringWritePosition)),
      seed_(randomSeed()),
      members_(limit),
      sockets_(limit) {}

MemberId Interner::idOfName(std::string_view name) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(name.data());
  const uint64_t hash = sipHash24(kNameKeyLow, kNameKeyHigh, {bytes, name.size()});
  return hash == 0 ? 1 : hash;
}

uint32_t Interner::hashOf(const Address& address) const {
  const uint64_t low = readNative(address.ip.data());
  const uint64_t high = readNative(address.ip.data() + 8);
  const uint64_t network = (low ^ seed_) * 0xa0761d6478bd642fu;
  return foldHash(std::rotl(network, 31) ^ high ^ std::rotl(uint64_t{address.port}, 48), seed_);
}

uint32_t Interner::hashOf(std::string_view name) const {
  const auto* bytes = reinterpret_cast<const uint8_t*>(name.data());
  const size_t size = name.size();
  uint64_t hash = size;
  if (size < 8) {
    for (size_t i = 0; i < size; i++) hash = hash << 8 | bytes[i];
    return foldHash(hash, seed_);
  }
  // Whole words; the last one may overlap the one before.
  for (size_t at = 0; at + 8 < size; at += 8) {
    hash = std::rotl((hash ^ readNative(bytes + at) ^ seed_) * 0xa0761d6478bd642fu, 31);
  }
  return foldHash(hash ^ readNative(bytes + size - 8), seed_);
}

MemberHandle Interner::findId(MemberId id) const {
  return byId_.find(hashOf(id), [&](uint32_t handle) { return ids_[handle - 1] == id; });
}

MemberHandle Interner::findName(std::string_view name) const {
  return byName_.find(hashOf(name), [&](uint32_t handle) { return names_[handle - 1] == name; });
}

AddressHandle Interner::findAddress(const Address& address) const {
  return byAddress_.find(hashOf(address),
                         [&](uint32_t handle) { return addresses_[handle - 1] == address; });
}

const Address* Interner::addressOf(AddressHandle handle) const {
  if (handle == 0 || handle > addresses_.size()) return nullptr;
  return &addresses_[handle - 1];
}

MemberHandle Interner::intern(std::string_view name) {
  const MemberId id = idOfName(name);
  const MemberHandle known = findId(id);
  if (known != 0) {
    if (names_[known - 1] != name) return 0;
    members_.retain(known);
    return known;
  }
  const MemberHandle handle = members_.acquire();
  if (handle != 0) storeName(handle, id, name);
  return handle;
}

void Interner::storeName(MemberHandle handle, MemberId id, std::string_view name) {
  const std::unique_lock lock(mutex_);
  if (handle > names_.size()) {
    names_.emplace_back(name);
    ids_.push_back(id);
  } else {
    names_[handle - 1] = name;
    ids_[handle - 1] = id;
  }
  byId_.insert(hashOf(id), handle);
  byName_.insert(hashOf(name), handle);
}

void Interner::release(MemberHandle handle) {
  if (!members_.release(handle)) return;
  const std::unique_lock lock(mutex_);
  byId_.erase(hashOf(ids_[handle - 1]), handle);
  byName_.erase(hashOf(std::string_view(names_[handle - 1])), handle);
  members_.quarantine(handle, ringWritePosition_());
}

std::string_view Interner::nameOf(MemberHandle handle) const {
  if (handle == 0 || handle > names_.size()) return {};
  return names_[handle - 1];
}

MemberId Interner::idOf(MemberHandle handle) const {
  return handle == 0 || handle > ids_.size() ? 0 : ids_[handle - 1];
}

uint32_t Interner::ringKey(MemberHandle handle, uint32_t ring) const {
  // Part of the protocol, unlike the other uses of this hash: all nodes must see the same rings.
  return foldHash(idOf(handle), 0x9e3779b97f4a7c15u * (uint64_t{ring} + 1));
}

AddressHandle Interner::internAddress(const Address& address) {
  const AddressHandle known = findAddress(address);
  if (known != 0) {
    sockets_.retain(known);
    return known;
  }
  const AddressHandle handle = sockets_.acquire();
  if (handle != 0) storeAddress(handle, address);
  return handle;
}

void Interner::storeAddress(AddressHandle handle, const Address& address) {
  const std::unique_lock lock(mutex_);
  if (handle > addresses_.size()) {
    addresses_.push_back(address);
  } else {
    addresses_[handle - 1] = address;
  }
  byAddress_.insert(hashOf(address), handle);
}

void Interner::releaseAddress(AddressHandle handle) {
  if (!sockets_.release(handle)) return;
  const std::unique_lock lock(mutex_);
  byAddress_.erase(hashOf(addresses_[handle - 1]), handle);
  sockets_.quarantine(handle, ringWritePosition_());
}

void Interner::recycle(uint64_t ringReadPosition) {
  // No lock: the tables do not lead to a quarantined handle any more, so no reader gets here.
  while (const MemberHandle handle = members_.recycleOne(ringReadPosition)) {
    names_[handle - 1] = std::string();
    ids_[handle - 1] = 0;
  }
  while (sockets_.recycleOne(ringReadPosition) != 0) continue;
}

}  // namespace tattler
