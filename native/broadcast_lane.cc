#include "broadcast_lane.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace tattler {

uint32_t BroadcastLane::add(Broadcast&& record, uint16_t transmits) {
  uint32_t index = freeEntry_;
  if (index == kNone) {
    index = static_cast<uint32_t>(entries_.size());
    // Half again, not twice: a join storm fills thousands of queues at once.
    if (entries_.size() == entries_.capacity()) entries_.reserve(index + index / 2 + 8);
    entries_.emplace_back();
  } else {
    freeEntry_ = entries_[index].next;
  }
  ++live_;
  reuse(index, std::move(record), transmits);
  return index;
}

void BroadcastLane::reuse(uint32_t index, Broadcast&& record, uint16_t transmits) {
  Entry& entry = entries_[index];
  static_cast<Broadcast&>(entry) = std::move(record);
  entry.transmits = transmits;
  file(runOf(index));
}

void BroadcastLane::free(uint32_t index) {
  Entry& entry = entries_[index];
  entry.content = ContentRef();
  entry.next = std::exchange(freeEntry_, index);
  if (--live_ == 0) reset();
}

// An empty lane gives back what a storm made it allocate.
void BroadcastLane::reset() {
  if (entries_.capacity() <= kKeptEntries) return;
  std::vector<Entry>().swap(entries_);  // an assignment of {} would keep the capacity
  std::vector<Tier>().swap(tiers_);
  std::vector<Chunk>().swap(chunks_);
  freeEntry_ = kNone;
  freeChunk_ = kNone;
}

void BroadcastLane::file(const Run& run) {
  if (run.transmits >= tiers_.size()) tiers_.resize(run.transmits + size_t{1});
  Tier& tier = tiers_[run.transmits];
  Chunk& chunk = chunkFor(tier, run.units / kChunkUnits);
  const uint32_t bucket = run.units % kChunkUnits;
  const uint64_t bit = uint64_t{1} << bucket;
  const bool isFirst = (chunk.used & bit) == 0;
  const uint32_t next = isFirst ? run.first : chunk.head[bucket];
  const uint32_t previous = isFirst ? run.last : entries_[next].previous;
  entries_[run.last].next = next;
  entries_[next].previous = run.last;
  entries_[run.first].previous = previous;
  entries_[previous].next = run.first;
  chunk.used |= bit;
  if (isFirst || !isOldestFirst()) chunk.head[bucket] = run.first;
  tier.count += run.count;
  filed_ += run.count;
}

void BroadcastLane::unfile(uint32_t index) {
  const Entry& entry = entries_[index];
  Tier& tier = tiers_[entry.transmits];
  const uint32_t units = entry.units();
  if (entry.next == index) {
    clearBucket(tier, units);
  } else {
    entries_[entry.previous].next = entry.next;
    entries_[entry.next].previous = entry.previous;
    uint32_t& head = chunks_[tier.chunks[units / kChunkUnits]].head[units % kChunkUnits];
    if (head == index) head = entry.next;
  }
  forget(entry.transmits, 1);
}

BroadcastLane::Run BroadcastLane::take(size_t transmits, size_t budgetBytes, size_t overhead,
                                       std::vector<const Broadcast*>& picks) {
  Tier& tier = tiers_[transmits];
  if (tier.count == 0 || budgetBytes < overhead) return {};
  const Bucket bucket = largestFitting(tier, (budgetBytes - overhead) / 4);
  if (bucket.chunk == kNone) return {};
  const size_t cost = bucket.units * size_t{4} + overhead;
  size_t room = cost == 0 ? filed_ : budgetBytes / cost;
  uint32_t& head = chunks_[bucket.chunk].head[bucket.units % kChunkUnits];
  const uint32_t end = entries_[head].previous;
  Run run{head, kNone, 0, static_cast<uint16_t>(transmits), bucket.units};
  for (uint32_t at = head; room > 0 && run.last != end; at = entries_[at].next, --room) {
    Entry& entry = entries_[at];
    ++entry.transmits;
    picks.push_back(&entry);
    run.last = at;
    ++run.count;
  }
  if (run.last == end) {
    clearBucket(tier, bucket.units);
  } else {
    head = entries_[run.last].next;
    entries_[head].previous = end;
    entries_[end].next = head;
  }
  forget(run.transmits, run.count);
  ++run.transmits;
  return run;
}

void BroadcastLane::forget(uint16_t transmits, uint32_t count) {
  tiers_[transmits].count -= count;
  filed_ -= count;
}

void BroadcastLane::clearBucket(Tier& tier, uint32_t units) {
  uint32_t& place = tier.chunks[units / kChunkUnits];
  Chunk& chunk = chunks_[place];
  chunk.used &= ~(uint64_t{1} << (units % kChunkUnits));
  if (chunk.used != 0) return;
  chunk.head[0] = std::exchange(freeChunk_, place);
  place = kNone;
}

BroadcastLane::Run BroadcastLane::takeLargest(size_t budgetBytes, size_t overhead,
                                              std::vector<const Broadcast*>& picks) {
  if (budgetBytes < overhead) return {};
  size_t transmits = 0;
  Bucket largest{kNone, 0};
  for (size_t tier = 0; tier < tiers_.size(); ++tier) {
    if (tiers_[tier].count == 0) continue;
    const Bucket bucket = largestFitting(tiers_[tier], (budgetBytes - overhead) / 4);
    if (bucket.chunk == kNone) continue;
    if (largest.chunk != kNone && bucket.units <= largest.units) continue;
    largest = bucket;
    transmits = tier;
  }
  if (largest.chunk == kNone) return {};
  return take(transmits, largest.units * size_t{4} + overhead, overhead, picks);
}

BroadcastLane::Bucket BroadcastLane::largestFitting(const Tier& tier, size_t units) const {
  size_t number = std::min(units / kChunkUnits, tier.chunks.size() - 1);
  const bool isCut = number == units / kChunkUnits;
  uint64_t fitting = isCut ? (uint64_t{2} << (units % kChunkUnits)) - 1 : ~uint64_t{0};
  for (;; --number, fitting = ~uint64_t{0}) {
    const uint32_t place = tier.chunks[number];
    const uint64_t found = place == kNone ? 0 : chunks_[place].used & fitting;
    if (found != 0) {
      const size_t bucket = 63 - static_cast<size_t>(std::countl_zero(found));
      return {place, static_cast<uint16_t>(number * kChunkUnits + bucket)};
    }
    if (number == 0) return {kNone, 0};
  }
}

uint32_t BroadcastLane::worst() const {
  for (size_t transmits = tiers_.size(); transmits-- > 0;) {
    if (tiers_[transmits].count == 0) continue;
    for (const uint32_t place : tiers_[transmits].chunks) {
      if (place == kNone) continue;
      const Chunk& chunk = chunks_[place];
      const uint32_t head = chunk.head[std::countr_zero(chunk.used)];
      return isOldestFirst() ? head : entries_[head].previous;
    }
  }
  return kNone;
}

size_t BroadcastLane::memoryBytes() const {
  size_t bytes = entries_.capacity() * sizeof(Entry) + chunks_.capacity() * sizeof(Chunk);
  for (const Tier& tier : tiers_) bytes += sizeof(Tier) + tier.chunks.capacity() * 4;
  return bytes;
}

BroadcastLane::Chunk& BroadcastLane::chunkFor(Tier& tier, uint32_t number) {
  if (number >= tier.chunks.size()) tier.chunks.resize(number + size_t{1}, kNone);
  if (tier.chunks[number] == kNone) tier.chunks[number] = takeChunk();
  return chunks_[tier.chunks[number]];
}

uint32_t BroadcastLane::takeChunk() {
  uint32_t place = freeChunk_;
  if (place == kNone) {
    place = static_cast<uint32_t>(chunks_.size());
    chunks_.emplace_back();
  } else {
    freeChunk_ = chunks_[place].head[0];
  }
  chunks_[place].used = 0;
  return place;
}

}  // namespace tattler
