// Vocabulary shared by every native file.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <span>

namespace tattler {

using Bytes = std::span<const uint8_t>;
using MutableBytes = std::span<uint8_t>;

// Members and addresses as small integers; 0 means unknown.
using MemberHandle = uint32_t;
using AddressHandle = uint32_t;
// Computed from a member's name; what datagrams carry.
using MemberId = uint64_t;

// An IP address and a port. IPv4 is kept mapped into IPv6, so one address has one form.
struct Address {
  std::array<uint8_t, 16> ip{};
  uint16_t port = 0;

  bool operator==(const Address&) const = default;

  bool isV4() const {
    static constexpr uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return std::memcmp(ip.data(), mapped, sizeof mapped) == 0;
  }
};

}  // namespace tattler
