// Counters of one endpoint, in memory that JavaScript reads without a call. Each counter has one writer.
#pragma once

#include <atomic>

#include "gossip_generated.h"

namespace tattler {

class Counters {
 public:
  explicit Counters(uint64_t* base) : base_(base) {}

  void add(wire::Counter counter, uint64_t amount = 1) {
    std::atomic_ref<uint64_t> value(base_[counter]);
    value.store(value.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }

  void set(wire::Counter counter, uint64_t value) {
    std::atomic_ref<uint64_t>(base_[counter]).store(value, std::memory_order_relaxed);
  }

 private:
  uint64_t* base_;
};

}  // namespace tattler
