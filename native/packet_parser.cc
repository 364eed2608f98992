#include "packet_parser.h"

#include "packet.h"

namespace tattler {

namespace {

// A body of 64 KiB of smallest records; nesting is impossible by schema.
constexpr flatbuffers::uoffset_t kMaxTables = 4096;
constexpr flatbuffers::uoffset_t kMaxDepth = 4;

bool isVerified(Bytes body) {
  flatbuffers::Verifier::Options options;
  options.max_depth = kMaxDepth;
  options.max_tables = kMaxTables;
  options.check_alignment = true;
  flatbuffers::Verifier verifier(body.data(), body.size(), options);
  return verifier.VerifyBuffer<wire::Packet>(nullptr);
}

void writePrefix(MutableBytes prefix, const Address& source) {
  std::memcpy(prefix.data(), source.ip.data(), source.ip.size());
  std::memcpy(prefix.data() + source.ip.size(), &source.port, sizeof source.port);
}

// The verifier checks where a vector begins, but not that elements of 8 bytes stand on such a border.
bool isAligned(const flatbuffers::Vector<const wire::Accusation*>* accusations) {
  return !accusations ||
         reinterpret_cast<uintptr_t>(accusations->Data()) % alignof(wire::Accusation) == 0;
}

// Exactly one of the two, with a port.
bool hasAddress(const wire::Address4* v4, const wire::Address6* v6) {
  if ((v4 == nullptr) == (v6 == nullptr)) return false;
  return (v4 ? v4->port() : v6->port()) != 0;
}

// Whether the alive names this address; compared in place.
bool isAt(const wire::Alive& alive, const Address& address) {
  if (const wire::Address4* v4 = alive.v4()) {
    if (v4->port() != address.port || !address.isV4()) return false;
    const uint8_t* ip = address.ip.data() + 12;
    return v4->ip() == (uint32_t{ip[0]} << 24 | uint32_t{ip[1]} << 16 | uint32_t{ip[2]} << 8 | ip[3]);
  }
  const wire::Address6* v6 = alive.v6();
  return v6->port() == address.port &&
         std::memcmp(v6->ip()->Data(), address.ip.data(), address.ip.size()) == 0;
}

uint32_t low(uint64_t wide) { return static_cast<uint32_t>(wide); }
uint32_t high(uint64_t wide) { return static_cast<uint32_t>(wide >> 32); }

}  // namespace

struct PacketParser::Frame {
  const ParseContext& context;
  uint32_t prefixOffset;
  MemberHandle from;
  AddressHandle source;
};

std::optional<PendingAck> PacketParser::pingIn(Bytes body, MemberId self) {
  if (!isVerified(body)) return std::nullopt;
  const wire::Ping* ping = flatbuffers::GetRoot<wire::Packet>(body.data())->ping();
  if (!ping || ping->target() != self) return std::nullopt;
  return PendingAck{ping->seq()};
}

bool PacketParser::parse(const ParseContext& context, MutableBytes prefix, Bytes body,
                         std::optional<PendingAck>& pendingAck) {
  if (!isVerified(body)) return false;
  const auto& packet = *flatbuffers::GetRoot<wire::Packet>(body.data());
  if (!isSane(packet)) return false;
  writePrefix(prefix, context.source);
  const auto reader = interner_.reader();
  const Frame frame{context, ring_.offsetOf(prefix.data()), interner_.findId(packet.source()),
                    interner_.findAddress(context.source)};
  describeProbes(frame, packet, pendingAck);
  if (ring_.pressure() != ReceiveRing::Pressure::critical) {
    describeMembership(frame, packet);
  } else {
    const auto count = [](const auto* vector) { return vector ? vector->size() : 0; };
    Counters counters = context.counters;
    counters.add(wire::Counter_dropRingMembership,
                 count(packet.alives()) + count(packet.suspects()) + count(packet.deaths()));
    ring_.noteDrop();
  }
  describeMessages(frame, packet);
  Counters(context.counters).add(wire::Counter_recordsReceived, ring_.appended());
  ring_.finish(prefix.size() + body.size());
  // Before the reader's lock ends: a handle released from now on waits until these are consumed.
  ring_.publish();
  return true;
}

// What the verifier cannot know: the rules of our schema that FlatBuffers has no words for.
bool PacketParser::isSane(const wire::Packet& packet) const {
  if (!isAligned(packet.suspects()) || !isAligned(packet.deaths())) return false;
  if (packet.alives()) {
    for (const wire::Alive* alive : *packet.alives()) {
      const size_t nameBytes = alive->name()->size();
      if (nameBytes == 0 || nameBytes > kMaxNameBytes) return false;
      if (!hasAddress(alive->v4(), alive->v6())) return false;
    }
  }
  const wire::PingRequest* request = packet.ping_request();
  return !request || hasAddress(request->v4(), request->v6());
}

// One record, or null (counted) when the ring has no room for it.
Record* PacketParser::append(const Frame& frame, wire::RecordKind kind, const void* at,
                             size_t length, wire::Counter dropped) {
  Counters counters = frame.context.counters;
  if (!ring_.hasRoom(1)) {
    counters.add(dropped);
    ring_.noteDrop();
    return nullptr;
  }
  Record& record = ring_.append();
  record = {};
  record.kind = kind;
  record.endpoint = frame.context.endpoint;
  record.from = frame.from;
  record.source = frame.source;
  record.offset = ring_.offsetOf(static_cast<const uint8_t*>(at));
  record.length = static_cast<uint32_t>(length);
  record.prefix = frame.prefixOffset;
  record.receivedAtMs = frame.context.receivedAtMs;
  return &record;
}

void PacketParser::describeProbes(const Frame& frame, const wire::Packet& packet,
                                  std::optional<PendingAck>& pendingAck) {
  constexpr auto dropped = wire::Counter_dropRingProbes;
  if (const wire::Ack* ack = packet.ack()) {
    const auto* payload = ack->payload();
    const void* at = payload ? static_cast<const void*>(payload->data()) : ack;
    Record* record = append(frame, wire::RecordKind_ack, at, payload ? payload->size() : 0, dropped);
    if (record) {
      record->seq = ack->seq();
      record->wideLow = low(packet.digest());
      record->wideHigh = high(packet.digest());
    }
  }
  if (const wire::Nack* nack = packet.nack()) {
    Record* record = append(frame, wire::RecordKind_nack, nack, sizeof *nack, dropped);
    if (record) record->seq = nack->seq();
  }
  describePing(frame, packet, pendingAck);
  const wire::PingRequest* request = packet.ping_request();
  if (request && mayPing(frame.context)) {
    Record* record = append(frame, wire::RecordKind_pingRequest, request, 0, dropped);
    if (!record) return;
    record->seq = request->seq();
    record->subject = interner_.findId(request->target());
    record->address = interner_.findAddress(*fromWire(request->v4(), request->v6()));
  }
}

// Each makes us send: a source that asks more often than any member needs is not served.
bool PacketParser::mayPing(const ParseContext& context) {
  const bool isAdmitted = limiter_.admit(context.endpoint, context.source, context.receivedAtMs,
                                         context.pingsPerSecond);
  if (!isAdmitted) Counters(context.counters).add(wire::Counter_dropRateLimited);
  return isAdmitted;
}

void PacketParser::describePing(const Frame& frame, const wire::Packet& packet,
                                std::optional<PendingAck>& pendingAck) {
  const wire::Ping* ping = packet.ping();
  if (!ping) return;
  Counters counters = frame.context.counters;
  // The address may have been reused by another member since the sender learnt it (M-104).
  if (ping->target() != frame.context.self) {
    counters.add(wire::Counter_dropWrongTarget);
    return;
  }
  if (!mayPing(frame.context)) return;
  if (frame.context.answersPings) pendingAck = PendingAck{ping->seq()};
  if (frame.context.isStalled) counters.add(wire::Counter_stalledPings);
  Record* record =
      append(frame, wire::RecordKind_ping, ping, sizeof *ping, wire::Counter_dropRingProbes);
  if (!record) return;
  record->seq = ping->seq();
  record->flags = frame.context.answersPings ? kFlagAnswered : 0;
  record->wideLow = low(packet.digest());
  record->wideHigh = high(packet.digest());
}

void PacketParser::describeMembership(const Frame& frame, const wire::Packet& packet) {
  if (packet.alives()) {
    for (const wire::Alive* alive : *packet.alives()) {
      Record* record = append(frame, wire::RecordKind_alive, alive, 0,
                              wire::Counter_dropRingMembership);
      if (!record) continue;
      record->subject = interner_.findName(alive->name()->string_view());
      record->incarnation = alive->incarnation();
      if (record->subject != 0) record->address = addressOf(*alive, record->subject);
    }
  }
  describeAccusations(frame, wire::RecordKind_suspect, packet.suspects());
  describeAccusations(frame, wire::RecordKind_death, packet.deaths());
}

// A comparison instead of a search. A handle that was released meanwhile still has the bytes of its
// address for as long as a reader holds the lock.
AddressHandle PacketParser::addressOf(const wire::Alive& alive, MemberHandle member) {
  if (member >= lastAddress_.size()) lastAddress_.resize(member + size_t{1});
  AddressHandle& last = lastAddress_[member];
  const Address* known = interner_.addressOf(last);
  if (!known || !isAt(alive, *known)) last = interner_.findAddress(*fromWire(alive.v4(), alive.v6()));
  return last;
}

void PacketParser::describeAccusations(
    const Frame& frame, wire::RecordKind kind,
    const flatbuffers::Vector<const wire::Accusation*>* accusations) {
  if (!accusations) return;
  for (const wire::Accusation* accusation : *accusations) {
    Record* record =
        append(frame, kind, accusation, sizeof *accusation, wire::Counter_dropRingMembership);
    if (!record) continue;
    record->subject = interner_.findId(accusation->member());
    record->from = interner_.findId(accusation->from());
    record->incarnation = accusation->incarnation();
    record->flags = static_cast<uint32_t>(accusation->evidence()) << kEvidenceShift;
  }
}

void PacketParser::describeMessages(const Frame& frame, const wire::Packet& packet) {
  if (!packet.messages()) return;
  Counters counters = frame.context.counters;
  for (const wire::Message* message : *packet.messages()) {
    // User payloads are the first to go when JavaScript falls behind.
    if (ring_.pressure() != ReceiveRing::Pressure::none) {
      counters.add(wire::Counter_dropRingMessages);
      continue;
    }
    Record* record = append(frame, wire::RecordKind_message, message->payload()->data(),
                            message->payload()->size(), wire::Counter_dropRingMessages);
    if (!record) continue;
    record->subject = interner_.findId(message->origin());
    record->from = record->subject;
    record->flags = (message->direct() ? kFlagDirect : 0) | uint32_t{message->hops()} << kHopsShift;
    record->wideLow = low(message->sequence());
    record->wideHigh = high(message->sequence());
  }
}

}  // namespace tattler
