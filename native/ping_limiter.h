// A rate limit per source in bounded space: for each of a fixed number of buckets the time up to which
// its sources have used their allowance (the generic cell rate algorithm). Sources that share a
// bucket share an allowance. One thread only.
#pragma once

#include <algorithm>
#include <vector>

#include "flat_index.h"
#include "types.h"

namespace tattler {

class PingLimiter {
 public:
  explicit PingLimiter(size_t buckets = 16384) : usedUntilMs_(buckets), seed_(randomSeed()) {}

  // Whether one more at `nowMs` is within `perSecond`, with bursts of twice as many; 0: no limit.
  bool admit(uint32_t endpoint, const Address& source, double nowMs, double perSecond) {
    if (perSecond <= 0) return true;
    double& usedUntilMs = usedUntilMs_[bucketOf(endpoint, source)];
    const double next = std::max(usedUntilMs, nowMs) + 1000 / perSecond;
    if (next - nowMs > kBurstMs) return false;
    usedUntilMs = next;
    return true;
  }

 private:
  static constexpr double kBurstMs = 2000;

  size_t bucketOf(uint32_t endpoint, const Address& source) const {
    uint64_t high = 0;
    uint64_t low = 0;
    std::memcpy(&high, source.ip.data(), sizeof high);
    std::memcpy(&low, source.ip.data() + sizeof high, sizeof low);
    const uint64_t place = static_cast<uint64_t>(endpoint) << 16 | source.port;
    const uint32_t ip = foldHash(low ^ high * 0x9e3779b97f4a7c15u, seed_);
    return foldHash(static_cast<uint64_t>(ip) << 32 ^ place, seed_) % usedUntilMs_.size();
  }

  std::vector<double> usedUntilMs_;
  uint64_t seed_;
};

}  // namespace tattler
