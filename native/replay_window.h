// Accepts each counter of a sender once. A sender is a boot id: 64 random bits per process start.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tattler {

class ReplayWindow {
 public:
  static constexpr uint32_t kWindowBits = 128;

  // Remembers at most maxEntries senders, then forgets the one longest unseen.
  explicit ReplayWindow(size_t maxEntries = 16384);

  // True once per (boot, counter). False for duplicates and for counters more than 127 behind the
  // highest accepted. Call it only for datagrams that are authentic. nowSeconds never goes back.
  bool accept(uint64_t bootId, uint32_t counter, uint32_t nowSeconds);

  size_t size() const { return size_; }
  size_t memoryBytes() const { return slots_.capacity() * sizeof(Entry); }

 private:
  struct Entry {
    uint64_t boot;
    uint32_t high;
    uint32_t lastSeen;
    uint64_t bits[2];  // bit n: counter high - n was seen. Bit 0 is set unless the slot is free.
  };
  static_assert(sizeof(Entry) == 32);

  struct Victim {
    uint32_t lastSeen;
    uint64_t boot;
    bool operator<(const Victim& other) const {
      return lastSeen != other.lastSeen ? lastSeen < other.lastSeen : boot < other.boot;
    }
  };

  size_t homeOf(uint64_t boot) const;
  size_t next(size_t at) const { return at + 1 == slots_.size() ? 0 : at + 1; }
  size_t distance(size_t from, size_t to) const {
    return to >= from ? to - from : to + slots_.size() - from;
  }
  // The slot of the boot id, or the free slot where it would go.
  size_t find(uint64_t boot) const;
  void insert(uint64_t boot, uint32_t counter, uint32_t nowSeconds);
  void grow();
  void erase(size_t at);
  void evictOldest();
  void collectVictims();

  std::vector<Entry> slots_;
  std::vector<Victim> victims_;  // the longest unseen at the last scan, the very longest last
  size_t size_ = 0;
  size_t maxEntries_;
  uint64_t seed_;
};

}  // namespace tattler
