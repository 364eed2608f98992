// Single-producer single-consumer ring of plain bodies on their way to the I/O thread.
#pragma once

#include <atomic>
#include <memory>

#include "types.h"

namespace tattler {

struct TransmitSlot {
  uint32_t endpoint;
  uint32_t length;  // of the body that follows; kSkip: the rest up to the end is unused
  Address to;

  static constexpr uint32_t kSkip = 0xFFFFFFFF;
};
constexpr size_t kSlotHeaderBytes = 32;
static_assert(sizeof(TransmitSlot) <= kSlotHeaderBytes);

class TransmitRing {
 public:
  explicit TransmitRing(size_t bytes);

  // --- producer ---

  // What has been pushed and not been sent yet.
  size_t usedBytes() const {
    return static_cast<size_t>(head_.load(std::memory_order_relaxed) -
                               tail_.load(std::memory_order_acquire));
  }
  // Whether a body that is not urgent would surely fit.
  bool hasRoom(size_t bodyBytes) const;
  // False when full. Probes and their answers may use the last eighth, everything else may not.
  bool push(uint32_t endpoint, const Address& to, Bytes body, bool urgent);

  // --- consumer ---

  struct Entry {
    const TransmitSlot* slot;
    Bytes body;
  };
  // The entry after `cursor`, which starts at begin(); advances it. False at the end.
  bool next(uint64_t& cursor, Entry& entry) const;
  uint64_t begin() const { return tail_.load(std::memory_order_relaxed); }
  // Everything before `cursor` is sent or dropped.
  void release(uint64_t cursor) { tail_.store(cursor, std::memory_order_release); }
  bool isEmpty() const {
    return tail_.load(std::memory_order_acquire) == head_.load(std::memory_order_acquire);
  }

 private:
  TransmitSlot* slotAt(uint64_t position) const;

  size_t size_;
  std::unique_ptr<uint8_t[]> bytes_;
  alignas(64) std::atomic<uint64_t> head_{0};
  alignas(64) std::atomic<uint64_t> tail_{0};
};

}  // namespace tattler
