// What the application puts into its acks (M-089): set by JavaScript, read by whichever thread answers.
#pragma once

#include <algorithm>
#include <atomic>
#include <mutex>
#include <vector>

#include "types.h"

namespace tattler {

constexpr size_t kMaxAckPayloadBytes = 256;

class AckPayload {
 public:
  using Copy = std::array<uint8_t, kMaxAckPayloadBytes>;

  bool set(Bytes payload) {
    if (payload.size() > kMaxAckPayloadBytes) return false;
    const std::lock_guard lock(mutex_);
    bytes_.assign(payload.begin(), payload.end());
    size_.store(bytes_.size(), std::memory_order_release);
    return true;
  }

  // A copy, so that the lock is held for no longer than that takes.
  Bytes copyTo(Copy& out) const {
    if (size_.load(std::memory_order_acquire) == 0) return {};
    const std::lock_guard lock(mutex_);
    std::ranges::copy(bytes_, out.begin());
    return {out.data(), bytes_.size()};
  }

 private:
  mutable std::mutex mutex_;
  std::vector<uint8_t> bytes_;
  std::atomic<size_t> size_{0};
};

}  // namespace tattler
