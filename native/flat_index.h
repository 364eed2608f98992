// A flat hash index: 32-bit hash -> non-zero 32-bit value. Linear probing, 8 bytes a slot.
// The keys stay with the caller; `find` asks it whether a value with an equal hash is meant.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace tattler {

inline uint64_t randomSeed() {
  std::random_device device;
  return static_cast<uint64_t>(device()) << 32 | device();
}

// Spreads 64 bits over 32; `seed` keeps others from choosing names that all land in one place.
inline uint32_t foldHash(uint64_t value, uint64_t seed) {
  uint64_t hash = (value ^ seed) * 0x9e3779b97f4a7c15u;
  hash ^= hash >> 32;
  hash *= 0xd6e8feb86659fd93u;
  return static_cast<uint32_t>(hash >> 32);
}

class FlatIndex {
 public:
  // The value for which same(value) holds, or 0.
  template <class Same>
  uint32_t find(uint32_t hash, Same same) const {
    if (slots_.empty()) return 0;
    for (size_t at = hash & mask_; slots_[at].value != 0; at = (at + 1) & mask_) {
      if (slots_[at].hash == hash && same(slots_[at].value)) return slots_[at].value;
    }
    return 0;
  }

  // The caller knows that the key is absent.
  void insert(uint32_t hash, uint32_t value) {
    if ((size_ + 1) * 4 > slots_.size() * 3) grow();
    place({hash, value});
    ++size_;
  }

  void erase(uint32_t hash, uint32_t value) {
    if (slots_.empty()) return;
    size_t at = hash & mask_;
    while (slots_[at].value != value) {
      if (slots_[at].value == 0) return;
      at = (at + 1) & mask_;
    }
    closeGap(at);
    --size_;
  }

  // Gives the memory back.
  void clear() {
    std::vector<Slot>().swap(slots_);
    mask_ = 0;
    size_ = 0;
  }

  size_t size() const { return size_; }
  size_t memoryBytes() const { return slots_.capacity() * sizeof(Slot); }

 private:
  struct Slot {
    uint32_t hash;
    uint32_t value;
  };

  void place(Slot slot) {
    size_t at = slot.hash & mask_;
    while (slots_[at].value != 0) at = (at + 1) & mask_;
    slots_[at] = slot;
  }

  void grow() {
    const size_t larger = slots_.empty() ? 8 : slots_.size() * 2;
    std::vector<Slot> old(larger, Slot{0, 0});
    old.swap(slots_);
    mask_ = larger - 1;
    for (const Slot& slot : old) {
      if (slot.value != 0) place(slot);
    }
  }

  // Moves later slots of the run back, so that no tombstones slow down the next searches.
  void closeGap(size_t gap) {
    for (size_t at = (gap + 1) & mask_; slots_[at].value != 0; at = (at + 1) & mask_) {
      const size_t fromHome = (at - slots_[at].hash) & mask_;
      const size_t fromGap = (at - gap) & mask_;
      if (fromHome < fromGap) continue;
      slots_[gap] = slots_[at];
      gap = at;
    }
    slots_[gap] = Slot{0, 0};
  }

  std::vector<Slot> slots_;
  size_t mask_ = 0;
  size_t size_ = 0;
};

}  // namespace tattler
