// What the application puts into its acks (M-089): set by JavaScript, read by whichever thread answers.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>

#include "types.h"

namespace tattler {

constexpr size_t kMaxAckPayloadBytes = 256;

class AckPayload {
 public:
  using Copy = std::array<uint8_t, kMaxAckPayloadBytes>;

  bool set(Bytes payload) {
    if (payload.size() > kMaxAckPayloadBytes) return false;
    auto fresh = payload.empty() ? nullptr : std::make_unique<Copy>();
    if (fresh) std::ranges::copy(payload, fresh->begin());
    const std::lock_guard lock(mutex_);
    bytes_.swap(fresh);
    size_.store(payload.size(), std::memory_order_release);
    return true;
  }

  // A copy, so that neither thread holds the lock for longer than that takes.
  Bytes copyTo(Copy& out) const {
    if (size_.load(std::memory_order_acquire) == 0) return {};
    const std::lock_guard lock(mutex_);
    if (!bytes_) return {};
    out = *bytes_;
    return {out.data(), size_.load(std::memory_order_relaxed)};
  }

 private:
  mutable std::mutex mutex_;
  std::unique_ptr<Copy> bytes_;  // not there on most nodes
  std::atomic<size_t> size_{0};
};

}  // namespace tattler
