#include "receive_ring.h"

#include <algorithm>
#include <cassert>

namespace tattler {

namespace {

constexpr uint8_t kPoison = 0xDD;
constexpr size_t kAlignment = 8;

size_t aligned(size_t bytes) { return (bytes + kAlignment - 1) & ~(kAlignment - 1); }

}  // namespace

ReceiveRing::ReceiveRing(std::span<Record> records, MutableBytes slab, bool poison)
    : records_(records),
      slab_(slab),
      mask_(static_cast<uint32_t>(records.size()) - 1),
      poison_(poison),
      slabEnds_(records.size(), 0) {
  assert((records.size() & mask_) == 0);
}

MutableBytes ReceiveRing::reserve(size_t bytes) {
  const size_t wanted = aligned(bytes);
  const size_t offset = slabHead_ % slab_.size();
  // A datagram never wraps: what is left before the end is skipped.
  const size_t skip = offset + wanted > slab_.size() ? slab_.size() - offset : 0;
  const uint64_t tail = slabTail_.load(std::memory_order_acquire);
  if (slabHead_ + skip + wanted - tail > slab_.size()) return {};
  reservation_ = slabHead_ + skip;
  packetFirst_ = producerHead_;
  return slab_.subspan(reservation_ % slab_.size(), wanted);
}

bool ReceiveRing::hasRoom(size_t records) const {
  const uint64_t used = producerHead_ - tail_.load(std::memory_order_acquire);
  return used + records <= records_.size();
}

ReceiveRing::Pressure ReceiveRing::pressure() const {
  const uint64_t usedRecords = producerHead_ - tail_.load(std::memory_order_acquire);
  const uint64_t usedBytes = slabHead_ - slabTail_.load(std::memory_order_acquire);
  const double full =
      std::max(static_cast<double>(usedRecords) / static_cast<double>(records_.size()),
               static_cast<double>(usedBytes) / static_cast<double>(slab_.size()));
  if (full > 0.9) return Pressure::critical;
  return full > 0.75 ? Pressure::high : Pressure::none;
}

Record& ReceiveRing::append() {
  const uint32_t index = indexOf(producerHead_++);
  slabEnds_[index] = slabHead_;
  return records_[index];
}

void ReceiveRing::finish(size_t bytes) {
  if (producerHead_ == packetFirst_) return;
  slabHead_ = reservation_ + aligned(bytes);
  slabEnds_[indexOf(producerHead_ - 1)] = slabHead_;
}

uint32_t ReceiveRing::readable() const {
  return static_cast<uint32_t>(head_.load(std::memory_order_acquire) -
                               tail_.load(std::memory_order_relaxed));
}

void ReceiveRing::consume(uint32_t count) {
  count = std::min(count, readable());
  if (count == 0) return;
  const uint64_t tail = tail_.load(std::memory_order_relaxed) + count;
  const uint64_t slabTail = slabEnds_[indexOf(tail - 1)];
  if (poison_) overwrite(slabTail_.load(std::memory_order_relaxed), slabTail);
  slabTail_.store(slabTail, std::memory_order_release);
  tail_.store(tail, std::memory_order_release);
}

void ReceiveRing::overwrite(uint64_t from, uint64_t to) {
  for (uint64_t position = from; position < to; position++) {
    slab_[position % slab_.size()] = kPoison;
  }
}

}  // namespace tattler
