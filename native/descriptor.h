// The fixed record that tells JavaScript what a datagram held. src/wire/addon.ts names the words;
// addon.cc exports these offsets, so the layout is written down once.
#pragma once

#include <cstddef>

#include "types.h"

namespace tattler {

struct Record {
  uint32_t kind;
  uint32_t endpoint;
  MemberHandle subject;
  MemberHandle from;
  uint32_t incarnation;
  uint32_t seq;
  uint32_t flags;
  AddressHandle source;
  uint32_t offset;
  uint32_t length;
  AddressHandle address;
  uint32_t prefix;
  double receivedAtMs;
  uint32_t wideLow;
  uint32_t wideHigh;
};
static_assert(sizeof(Record) == 64, "a record is one cache line");
static_assert(offsetof(Record, receivedAtMs) % 8 == 0);

constexpr uint32_t kFlagAnswered = 1;  // the I/O thread acknowledged this ping already
constexpr uint32_t kFlagDirect = 2;    // a message for us alone
constexpr uint32_t kEvidenceShift = 8;  // of an accusation
constexpr uint32_t kHopsShift = 8;      // of a message

inline uint32_t hopsOf(const Record& message) { return message.flags >> kHopsShift & 0xff; }

// In front of every body in the slab: where the datagram came from.
constexpr size_t kPrefixBytes = 24;

}  // namespace tattler
