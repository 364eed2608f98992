// Networks that datagrams may come from (M-183).
#pragma once

#include <optional>
#include <vector>

#include "types.h"

namespace tattler {

class AllowList {
 public:
  // 16 bytes of prefix and one of length in bits, IPv4 behind its 96 mapped ones.
  static constexpr size_t kEntryBytes = 17;
  static constexpr size_t kMaxEntries = 256;

  AllowList() = default;  // allows everybody
  // Nothing when `flat` is no list of entries.
  static std::optional<AllowList> fromFlat(Bytes flat);

  bool allows(const Address& address) const;

 private:
  struct Network {
    uint64_t prefix[2];
    uint64_t mask[2];
    bool isV4;
  };

  std::vector<Network> networks_;
};

}  // namespace tattler
