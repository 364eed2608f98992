// The order in which a broadcast queue sends the records of one class.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "broadcast_record.h"

namespace tattler {

// One class of records, in order. A record is filed under (transmits, size); one such bucket is a
// ring list, the most recently filed first or last. Sizes are counted in units of 4 bytes. A fill
// takes runs out of buckets and moves each on as a whole, so that a pick costs a step along a list.
class BroadcastLane {
 public:
  enum class Among : uint8_t { newestFirst, oldestFirst };

  explicit BroadcastLane(Among equals) : equals_(equals) {}

  static constexpr uint32_t kNone = 0xffffffff;
  static constexpr uint32_t kMaxUnits = 16384;

  struct Entry : Broadcast {
    uint16_t transmits;
    uint32_t previous;
    uint32_t next;
    uint16_t units() const { return static_cast<uint16_t>((wireBytes + 3) / 4); }
  };

  // Neighbours of one bucket, linked from first to last.
  struct Run {
    uint32_t first = kNone;
    uint32_t last = kNone;
    uint32_t count = 0;
    uint16_t transmits = 0;
    uint16_t units = 0;
  };

  // Files a new record that counts as sent so often.
  uint32_t add(Broadcast&& record, uint16_t transmits);
  // Files a new record in the slot of an unfiled one.
  void reuse(uint32_t index, Broadcast&& record, uint16_t transmits);
  // Frees the slot of an unfiled record.
  void free(uint32_t index);

  Entry& at(uint32_t index) { return entries_[index]; }
  const Entry& at(uint32_t index) const { return entries_[index]; }
  uint32_t indexOf(const Broadcast* record) const {
    return static_cast<uint32_t>(static_cast<const Entry*>(record) - entries_.data());
  }

  // In the bucket of its transmits and units, as the newest there.
  void file(const Run& run);
  void unfile(uint32_t index);
  Run runOf(uint32_t index) const {
    return {index, index, 1, entries_[index].transmits, entries_[index].units()};
  }
  // Unfiles the records that come first among those sent this often, of the largest size that fits:
  // as many as fit, appended to `picks`. They count as sent once more; the run can be filed as is.
  Run take(size_t transmits, size_t budgetBytes, size_t overhead,
           std::vector<const Broadcast*>& picks);

  // The same of the largest record of all that fits, and of such the one sent least; one at most.
  Run takeLargest(size_t budgetBytes, size_t overhead, std::vector<const Broadcast*>& picks);

  // Most transmitted, smallest, least recently filed (M-139).
  uint32_t worst() const;
  bool isOldestFirst() const { return equals_ == Among::oldestFirst; }
  size_t tiers() const { return tiers_.size(); }
  size_t filed() const { return filed_; }
  size_t memoryBytes() const;

 private:
  static constexpr uint32_t kChunkUnits = 64;
  static constexpr size_t kKeptEntries = 256;

  // The buckets of 64 neighbouring sizes within one tier.
  struct Chunk {
    uint64_t used;               // bit n: bucket n holds records
    uint32_t head[kChunkUnits];  // first in order; its `previous` is the last
  };
  struct Tier {
    std::vector<uint32_t> chunks;  // by units / 64; kNone where no record is
    uint32_t count = 0;
  };
  struct Bucket {
    uint32_t chunk;  // place in chunks_, kNone when there is no such bucket
    uint16_t units;
  };

  Bucket largestFitting(const Tier& tier, size_t units) const;
  Chunk& chunkFor(Tier& tier, uint32_t number);
  uint32_t takeChunk();
  void clearBucket(Tier& tier, uint32_t units);
  void forget(uint16_t transmits, uint32_t count);
  void reset();

  Among equals_;
  std::vector<Entry> entries_;
  std::vector<Tier> tiers_;  // by transmits
  std::vector<Chunk> chunks_;
  uint32_t freeEntry_ = kNone;  // the free slots are chained through `next`
  uint32_t freeChunk_ = kNone;  // and the free chunks through head[0]
  size_t live_ = 0;
  size_t filed_ = 0;
};

}  // namespace tattler
