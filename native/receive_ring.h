// Single-producer single-consumer ring of descriptors with the slab they point into.
// Producer: the I/O thread. Consumer: JavaScript. Both memories belong to V8; we borrow them.
#pragma once

#include <atomic>
#include <span>
#include <vector>

#include "descriptor.h"

namespace tattler {

class ReceiveRing {
 public:
  // How full the ring or its slab is; decides what may still enter (user payloads are refused first).
  enum class Pressure { none, high, critical };

  ReceiveRing(std::span<Record> records, MutableBytes slab, bool poison);

  // --- producer ---

  // Contiguous, 8-byte aligned slab space for one datagram, or an empty span when there is none.
  MutableBytes reserve(size_t bytes);
  bool hasRoom(size_t records) const;
  Pressure pressure() const;
  // Appends a record of the reserved datagram. Room must have been checked.
  Record& append();
  // Records of the reserved datagram so far.
  uint64_t appended() const { return producerHead_ - packetFirst_; }
  // Ends the datagram: keeps `bytes` of the reservation if any record was appended, else none.
  void finish(size_t bytes);
  // Counts what had to be dropped for lack of room: while this grows, nobody may be judged.
  void noteDrop() { drops_++; }
  uint64_t drops() const { return drops_; }
  // Makes everything finished visible to the consumer.
  void publish() { head_.store(producerHead_, std::memory_order_release); }
  uint32_t offsetOf(const uint8_t* p) const { return static_cast<uint32_t>(p - slab_.data()); }

  // --- consumer ---

  uint32_t readable() const;
  uint32_t readIndex() const { return indexOf(tail_.load(std::memory_order_relaxed)); }
  void consume(uint32_t count);

  // --- either side ---

  const Record& at(uint32_t index) const { return records_[index & mask_]; }
  MutableBytes slab() const { return slab_; }
  // Positions only grow; a handle freed at write position W is unseen once the read position is W.
  uint64_t writePosition() const { return head_.load(std::memory_order_acquire); }
  uint64_t readPosition() const { return tail_.load(std::memory_order_acquire); }

 private:
  uint32_t indexOf(uint64_t position) const { return static_cast<uint32_t>(position) & mask_; }
  void overwrite(uint64_t from, uint64_t to);

  std::span<Record> records_;
  MutableBytes slab_;
  uint32_t mask_;
  bool poison_;
  // Slab position that becomes free when the record is consumed.
  std::vector<uint64_t> slabEnds_;

  uint64_t producerHead_ = 0;
  uint64_t slabHead_ = 0;
  uint64_t reservation_ = 0;
  uint64_t packetFirst_ = 0;
  uint64_t drops_ = 0;

  alignas(64) std::atomic<uint64_t> head_{0};
  alignas(64) std::atomic<uint64_t> tail_{0};
  std::atomic<uint64_t> slabTail_{0};
};

}  // namespace tattler
