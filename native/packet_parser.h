// Verifies a body and describes what it holds, record by record.
#pragma once

#include <optional>

#include "counters.h"
#include "interner.h"
#include "ping_limiter.h"
#include "receive_ring.h"

namespace tattler {

constexpr size_t kMaxNameBytes = 128;

// Where a body came from and whom it reached.
struct ParseContext {
  uint32_t endpoint;
  MemberId self;
  Address source;
  double receivedAtMs;
  // Whether pings are acknowledged by the caller, so that JavaScript need not.
  bool answersPings;
  // JavaScript has not drained for so long that pings are left unanswered.
  bool isStalled;
  double pingsPerSecond;
  Counters counters;
};

// A ping that asks for an ack at once.
struct PendingAck {
  uint32_t seq;
};

class PacketParser {
 public:
  // `lastAddress`, by member: where the last alive about it said it was, which the next mostly repeats.
  PacketParser(const Interner& interner, ReceiveRing& ring, PingLimiter& limiter,
               std::vector<AddressHandle>& lastAddress)
      : interner_(interner), ring_(ring), limiter_(limiter), lastAddress_(lastAddress) {}

  // The ping of a body that is meant for this member, if there is one; describes nothing.
  static std::optional<PendingAck> pingIn(Bytes body, MemberId self);

  // `body` lies in the ring's reservation, right after the prefix. Publishes one record for each
  // thing it holds. False: not a valid packet, and nothing was published.
  bool parse(const ParseContext& context, MutableBytes prefix, Bytes body,
             std::optional<PendingAck>& pendingAck);

 private:
  struct Frame;  // what all records of one packet share

  bool isSane(const wire::Packet& packet) const;
  AddressHandle addressOf(const wire::Alive& alive, MemberHandle member);
  bool mayPing(const ParseContext& context);
  void describeProbes(const Frame& frame, const wire::Packet& packet,
                      std::optional<PendingAck>& pendingAck);
  void describePing(const Frame& frame, const wire::Packet& packet,
                    std::optional<PendingAck>& pendingAck);
  void describeMembership(const Frame& frame, const wire::Packet& packet);
  void describeAccusations(const Frame& frame, wire::RecordKind kind,
                           const flatbuffers::Vector<const wire::Accusation*>* accusations);
  void describeMessages(const Frame& frame, const wire::Packet& packet);
  Record* append(const Frame& frame, wire::RecordKind kind, const void* at, size_t length,
                 wire::Counter dropped);

  const Interner& interner_;
  ReceiveRing& ring_;
  PingLimiter& limiter_;
  std::vector<AddressHandle>& lastAddress_;
};

}  // namespace tattler
