#include "allow_list.h"

#include <algorithm>

namespace tattler {

namespace {

constexpr unsigned kMappedBits = 96;
constexpr unsigned kAddressBits = 128;

void readWords(const uint8_t* bytes, uint64_t (&words)[2]) {
  for (size_t i = 0; i < 16; i++) words[i / 8] = words[i / 8] << 8 | bytes[i];
}

// The `bits` uppermost of 64.
uint64_t upperBits(unsigned bits) { return bits == 0 ? 0 : ~uint64_t{0} << (64 - bits); }

}  // namespace

std::optional<AllowList> AllowList::fromFlat(Bytes flat) {
  if (flat.size() % kEntryBytes != 0 || flat.size() > kMaxEntries * kEntryBytes) return std::nullopt;
  AllowList list;
  for (; !flat.empty(); flat = flat.subspan(kEntryBytes)) {
    const unsigned bits = flat[kEntryBytes - 1];
    if (bits > kAddressBits) return std::nullopt;
    Address prefix;
    std::copy_n(flat.begin(), prefix.ip.size(), prefix.ip.begin());
    Network network{};
    readWords(prefix.ip.data(), network.prefix);
    network.mask[0] = upperBits(std::min(bits, 64u));
    network.mask[1] = upperBits(bits > 64 ? bits - 64 : 0);
    for (size_t i = 0; i < 2; i++) network.prefix[i] &= network.mask[i];
    // "::/0" is all of IPv6, and not the IPv4 addresses that are kept inside it.
    network.isV4 = prefix.isV4() && bits >= kMappedBits;
    list.networks_.push_back(network);
  }
  return list;
}

bool AllowList::allows(const Address& address) const {
  if (networks_.empty()) return true;
  uint64_t ip[2] = {};
  readWords(address.ip.data(), ip);
  return std::ranges::any_of(networks_, [&, isV4 = address.isV4()](const Network& network) {
    return network.isV4 == isV4 && (ip[0] & network.mask[0]) == network.prefix[0] &&
           (ip[1] & network.mask[1]) == network.prefix[1];
  });
}

}  // namespace tattler
