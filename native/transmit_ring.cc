#include "transmit_ring.h"

namespace tattler {

namespace {

constexpr size_t kAlignment = 32;

size_t aligned(size_t bytes) { return (bytes + kAlignment - 1) & ~(kAlignment - 1); }

}  // namespace

TransmitRing::TransmitRing(size_t bytes)
    : size_(aligned(bytes)), bytes_(std::make_unique_for_overwrite<uint8_t[]>(size_)) {}

TransmitSlot* TransmitRing::slotAt(uint64_t position) const {
  return reinterpret_cast<TransmitSlot*>(bytes_.get() + position % size_);
}

bool TransmitRing::hasRoom(size_t bodyBytes) const {
  const uint64_t used =
      head_.load(std::memory_order_relaxed) - tail_.load(std::memory_order_acquire);
  // Twice: the entry, and what may be skipped before the end.
  return used + 2 * aligned(kSlotHeaderBytes + bodyBytes) <= size_ - size_ / 8;
}

bool TransmitRing::push(uint32_t endpoint, const Address& to, Bytes body, bool urgent) {
  const size_t wanted = aligned(kSlotHeaderBytes + body.size());
  uint64_t head = head_.load(std::memory_order_relaxed);
  const size_t left = size_ - head % size_;
  const size_t skip = wanted > left ? left : 0;
  const size_t usable = urgent ? size_ : size_ - size_ / 8;
  if (head + skip + wanted - tail_.load(std::memory_order_acquire) > usable) return false;
  if (skip > 0) {
    slotAt(head)->length = TransmitSlot::kSkip;
    head += skip;
  }
  TransmitSlot* slot = slotAt(head);
  *slot = {endpoint, static_cast<uint32_t>(body.size()), to};
  std::memcpy(reinterpret_cast<uint8_t*>(slot) + kSlotHeaderBytes, body.data(), body.size());
  head_.store(head + wanted, std::memory_order_release);
  return true;
}

bool TransmitRing::next(uint64_t& cursor, Entry& entry) const {
  if (cursor == head_.load(std::memory_order_acquire)) return false;
  if (slotAt(cursor)->length == TransmitSlot::kSkip) cursor += size_ - cursor % size_;
  const TransmitSlot* slot = slotAt(cursor);
  entry = {slot, {reinterpret_cast<const uint8_t*>(slot) + kSlotHeaderBytes, slot->length}};
  cursor += aligned(kSlotHeaderBytes + slot->length);
  return true;
}

}  // namespace tattler
