// One record on its way to the cluster. The variable part is an immutable block with a reference
// count, so that the queues of many nodes in one process can share it.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>

#include "types.h"

namespace tattler {

enum class RecordClass : uint8_t { alive, suspect, death, message };

// Its transmit limit stays whole, whatever is heard: accusations and refutations.
constexpr uint8_t kKeepsBudget = 1;
// Waits to be forwarded at once.
constexpr uint8_t kUrgent = 2;
// Was or will be forwarded at once, by us and by everybody who hears of it.
constexpr uint8_t kOnRings = 4;

// Protocol then application, each as lowest, highest and spoken.
using VersionBytes = std::array<uint8_t, 6>;

// What Content::make copies into one block.
struct ContentParts {
  Address address{};       // alive
  uint64_t sequence = 0;   // message
  uint8_t hops = 0;        // message
  std::string_view name;   // alive; at most 65,535 bytes
  Bytes payload;           // meta of an alive, payload of a message
  VersionBytes versions{};
  bool hasVersions = false;
};

class ContentRef;

class Content {
 public:
  static ContentRef make(const ContentParts& parts);

  const Address& address() const { return address_; }
  uint64_t sequence() const { return sequence_; }
  uint8_t hops() const { return hops_; }
  std::string_view name() const { return {reinterpret_cast<const char*>(bytes()), nameBytes_}; }
  Bytes payload() const { return {bytes() + nameBytes_, payloadBytes_}; }
  const VersionBytes& versions() const { return versions_; }
  bool hasVersions() const { return hasVersions_; }

 private:
  friend class ContentRef;

  explicit Content(const ContentParts& parts)
      : sequence_(parts.sequence),
        payloadBytes_(static_cast<uint32_t>(parts.payload.size())),
        nameBytes_(static_cast<uint16_t>(parts.name.size())),
        address_(parts.address),
        versions_(parts.versions),
        hasVersions_(parts.hasVersions),
        hops_(parts.hops) {}

  const uint8_t* bytes() const { return reinterpret_cast<const uint8_t*>(this + 1); }

  uint64_t sequence_;
  mutable std::atomic<uint32_t> references_{1};
  uint32_t payloadBytes_;
  uint16_t nameBytes_;
  Address address_;
  VersionBytes versions_;
  bool hasVersions_;
  uint8_t hops_;
};

class ContentRef {
 public:
  ContentRef() = default;
  ContentRef(const ContentRef& other) : block_(other.block_) {
    if (block_) block_->references_.fetch_add(1, std::memory_order_relaxed);
  }
  ContentRef(ContentRef&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
  ContentRef& operator=(ContentRef other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }
  ~ContentRef() {
    if (!block_ || block_->references_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    block_->~Content();
    ::operator delete(const_cast<Content*>(block_));
  }

  const Content* operator->() const { return block_; }
  const Content& operator*() const { return *block_; }
  explicit operator bool() const { return block_ != nullptr; }

 private:
  friend class Content;
  explicit ContentRef(const Content* block) : block_(block) {}

  const Content* block_ = nullptr;
};

inline ContentRef Content::make(const ContentParts& parts) {
  const size_t tail = parts.name.size() + parts.payload.size();
  auto* block = new (::operator new(sizeof(Content) + tail)) Content(parts);
  auto* bytes = reinterpret_cast<uint8_t*>(block + 1);
  if (!parts.name.empty()) std::memcpy(bytes, parts.name.data(), parts.name.size());
  if (!parts.payload.empty()) {
    std::memcpy(bytes + parts.name.size(), parts.payload.data(), parts.payload.size());
  }
  return ContentRef(block);
}

struct Broadcast {
  ContentRef content;        // alive and message; suspicions and deaths have none
  MemberHandle subject = 0;  // whom a membership record is about
  MemberHandle from = 0;     // accuser, or origin of a message
  uint32_t incarnation = 0;
  uint32_t token = 0;      // reported by takeFinished when the record ends; 0 = nobody waits
  uint32_t wireBytes = 0;  // size in a datagram; counted as rounded up to 4, as FlatBuffers align
  RecordClass kind = RecordClass::alive;
  uint8_t evidence = 0;
  uint8_t flags = 0;
};
static_assert(sizeof(Broadcast) == 32);

}  // namespace tattler
