// Names <-> member handles, socket addresses <-> address handles.
//
// One JS thread owns an interner: it alone inserts, retains, releases and recycles. The I/O thread
// looks up, with reader() held. The JS thread needs no lock for its own look-ups, and must not hold
// reader() while it calls anything that changes the interner.
//
// A released handle leaves the tables at once but stays in quarantine, because descriptors in the
// receive ring may still carry it. It is stamped with the ring position that RingPosition returns
// after the removal, with readers locked out, and is reused once recycle() reports that JS has read
// that far. So RingPosition must count every descriptor written under reader(), published or not.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <shared_mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "flat_index.h"
#include "types.h"

namespace tattler {

uint64_t sipHash24(uint64_t keyLow, uint64_t keyHigh, Bytes input);

// Reference counts of dense handles from 1, and the quarantine of those nobody refers to.
class HandlePool {
 public:
  explicit HandlePool(uint32_t limit) : limit_(limit) {}

  // A handle with one reference; 0 when all are taken.
  uint32_t acquire();
  // False for a handle nobody refers to any more.
  bool retain(uint32_t handle);
  // True when this was the last reference; the caller then quarantines the handle.
  bool release(uint32_t handle);
  void quarantine(uint32_t handle, uint64_t stamp) { quarantine_.push_back({stamp, handle}); }
  // The next handle that may be reused, or 0 when the rest must wait.
  uint32_t recycleOne(uint64_t readPosition);
  uint32_t live() const { return live_; }
  uint32_t quarantined() const { return static_cast<uint32_t>(quarantine_.size()); }

 private:
  struct Quarantined {
    uint64_t stamp;
    uint32_t handle;
  };

  bool isLive(uint32_t handle) const {
    return handle != 0 && handle <= references_.size() && references_[handle - 1] != 0;
  }

  uint32_t limit_;
  uint32_t live_ = 0;
  std::vector<uint32_t> references_;
  std::vector<uint32_t> free_;
  std::deque<Quarantined> quarantine_;
};

class Interner {
 public:
  using RingPosition = std::function<uint64_t()>;
  static constexpr uint32_t kDefaultLimit = 1u << 20;

  explicit Interner(RingPosition ringWritePosition, uint32_t limit = kDefaultLimit);
  Interner(const Interner&) = delete;
  Interner& operator=(const Interner&) = delete;

  // SipHash-2-4 of the name under a published key: every node must compute the same. Never 0.
  static MemberId idOfName(std::string_view name);

  // --- Any thread, with the lock of reader() held; the JS thread also without.
  std::shared_lock<std::shared_mutex> reader() const {
    return std::shared_lock<std::shared_mutex>(mutex_);
  }
  MemberHandle findId(MemberId id) const;
  MemberHandle findName(std::string_view name) const;
  AddressHandle findAddress(const Address& address) const;
  // Null for a handle never given out. Stays in place until the handle is reused.
  const Address* addressOf(AddressHandle handle) const;

  // --- JS thread only.
  // Adds one reference. 0 when full, or when another name has the same id.
  MemberHandle intern(std::string_view name);
  // False, and nothing done, for a released handle: a descriptor may still carry one. Who ignores
  // that must not release it later, when the handle may belong to somebody else.
  bool retain(MemberHandle handle) { return members_.retain(handle); }
  void release(MemberHandle handle);
  // Valid until the next intern() or recycle(); empty for an unknown handle.
  std::string_view nameOf(MemberHandle handle) const;
  MemberId idOf(MemberHandle handle) const;
  // Where the member stands on ring k: a hash of (id, k) that every node computes alike.
  uint32_t ringKey(MemberHandle handle, uint32_t ring) const;

  AddressHandle internAddress(const Address& address);
  bool retainAddress(AddressHandle handle) { return sockets_.retain(handle); }
  void releaseAddress(AddressHandle handle);

  // JS has consumed the receive ring up to here: handles released before that may be reused.
  void recycle(uint64_t ringReadPosition);

  uint32_t memberCount() const { return members_.live(); }
  uint32_t addressCount() const { return sockets_.live(); }
  uint32_t quarantined() const { return members_.quarantined() + sockets_.quarantined(); }

 private:
  uint32_t hashOf(MemberId id) const { return foldHash(id, seed_); }
  uint32_t hashOf(const Address& address) const;
  uint32_t hashOf(std::string_view name) const;
  void storeName(MemberHandle handle, MemberId id, std::string_view name);
  void storeAddress(AddressHandle handle, const Address& address);

  RingPosition ringWritePosition_;
  uint64_t seed_;
  mutable std::shared_mutex mutex_;

  HandlePool members_;
  std::vector<MemberId> ids_;      // by handle - 1
  std::vector<std::string> names_;
  FlatIndex byId_;
  FlatIndex byName_;  // for datagrams: SipHash is more than a look-up needs

  HandlePool sockets_;
  std::deque<Address> addresses_;
  FlatIndex byAddress_;
};

}  // namespace tattler
