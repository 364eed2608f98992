// What an endpoint gossips: records into the broadcast queue, its own and those that it relays.
#include <algorithm>

#include "endpoint.h"

namespace tattler {

namespace {

// A refutation and an accusation must reach everybody, or somebody dies (EXPERIMENTS E).
uint8_t flagsOf(RecordClass kind, bool urgent) {
  if (kind == RecordClass::suspect) return kKeepsBudget;
  if (!urgent) return 0;
  return kind == RecordClass::alive ? kKeepsBudget | kUrgent : kUrgent;
}

Broadcast aliveOf(MemberHandle subject, std::string_view name, const Address& address,
                  uint32_t incarnation, Bytes meta, const std::optional<VersionBytes>& versions) {
  ContentParts content;
  content.address = address;
  content.name = name;
  content.payload = meta;
  content.hasVersions = versions.has_value();
  if (versions) content.versions = *versions;
  Broadcast record;
  record.content = Content::make(content);
  record.subject = subject;
  record.incarnation = incarnation;
  record.kind = RecordClass::alive;
  record.wireBytes = static_cast<uint32_t>(
      aliveWireBytes(name.size(), address, meta.size(), content.hasVersions));
  return record;
}

Broadcast accusationOf(RecordClass kind, MemberHandle subject, MemberHandle from,
                       uint32_t incarnation, uint8_t evidence) {
  Broadcast record;
  record.subject = subject;
  record.from = from;
  record.incarnation = incarnation;
  record.evidence = evidence;
  record.kind = kind;
  record.wireBytes = kAccusationWireBytes;
  return record;
}

}  // namespace

size_t Endpoint::maxMessageBytes() const {
  return bodyBudget() - kEnvelopeWireBytes - kMixedWireBytes - messageWireBytes(0) - 4;
}

// The queue holds a reference on both members until it lets the record go. One that was released
// meanwhile (its descriptor was still in the ring) cannot be held, and is not worth passing on.
void Endpoint::push(Broadcast record) {
  if (record.subject != 0 && !parts_.interner.retain(record.subject)) return;
  if (record.from != 0 && !parts_.interner.retain(record.from)) {
    parts_.interner.release(record.subject);
    return;
  }
  queue_.push(std::move(record));
  publishQueueCounters();
}

void Endpoint::publishQueueCounters() {
  const QueueCounters& counters = queue_.counters();
  counters_.set(wire::Counter_recordsQueued, counters.queued);
  counters_.set(wire::Counter_recordsSent, counters.sent);
  counters_.set(wire::Counter_recordsRetired, counters.retired);
  counters_.set(wire::Counter_recordsReplaced, counters.replaced);
  counters_.set(wire::Counter_recordsPruned, counters.pruned);
}

void Endpoint::queueAlive(MemberHandle subject, AddressHandle address, uint32_t incarnation,
                          Bytes meta, const std::optional<VersionBytes>& versions, bool urgent) {
  const Address* socket = parts_.interner.addressOf(address);
  if (!socket) return;
  Broadcast record =
      aliveOf(subject, parts_.interner.nameOf(subject), *socket, incarnation, meta, versions);
  record.flags = flagsOf(record.kind, urgent);
  push(std::move(record));
}

void Endpoint::queueAccusation(RecordClass kind, MemberHandle subject, MemberHandle from,
                               uint32_t incarnation, uint8_t evidence, bool urgent) {
  Broadcast record = accusationOf(kind, subject, from, incarnation, evidence);
  record.flags = flagsOf(kind, urgent);
  push(std::move(record));
}

bool Endpoint::tellAlive(AddressHandle to, MemberHandle subject, AddressHandle address,
                         uint32_t incarnation, Bytes meta,
                         const std::optional<VersionBytes>& versions) {
  const Address* socket = parts_.interner.addressOf(address);
  const std::string_view name = parts_.interner.nameOf(subject);
  if (!socket || name.empty()) return false;
  return tell(to, aliveOf(subject, name, *socket, incarnation, meta, versions));
}

bool Endpoint::tellDeath(AddressHandle to, MemberHandle subject, MemberHandle from,
                         uint32_t incarnation, uint8_t evidence) {
  return tell(to, accusationOf(RecordClass::death, subject, from, incarnation, evidence));
}

bool Endpoint::tell(AddressHandle to, const Broadcast& record) {
  if (record.wireBytes + kEnvelopeWireBytes > bodyBudget()) return false;
  startBody().add(record);
  return transmit(to, parts_.composer.finish(), false);
}

bool Endpoint::queueMessage(MemberHandle origin, uint64_t sequence, Bytes payload, uint32_t token,
                            uint8_t hops) {
  if (payload.size() > maxMessageBytes()) return false;
  ContentParts content;
  content.sequence = sequence;
  content.payload = payload;
  content.hops = hops;
  Broadcast record;
  record.content = Content::make(content);
  record.from = origin;
  record.token = token;
  record.kind = RecordClass::message;
  record.wireBytes = static_cast<uint32_t>(messageWireBytes(payload.size()));
  push(std::move(record));
  return true;
}

void Endpoint::relay(const Record& record, bool urgent) {
  switch (record.kind) {
    case wire::RecordKind_alive:
      return relayAlive(record, urgent);
    case wire::RecordKind_suspect:
    case wire::RecordKind_death:
      return relayAccusation(record, urgent);
    case wire::RecordKind_message: {
      if (record.from == 0) return;
      const uint64_t sequence = static_cast<uint64_t>(record.wideHigh) << 32 | record.wideLow;
      const uint32_t hops = std::min(hopsOf(record) + 1, uint32_t{0xff});
      queueMessage(record.from, sequence, {slabAt(record.offset), record.length}, 0,
                   static_cast<uint8_t>(hops));
      return;
    }
    default:
      return;
  }
}

void Endpoint::noteHeard(const Record& record) {
  if (!config_.gossipFeedback || record.subject == 0 || queue_.membershipDepth() == 0) return;
  if (record.kind == wire::RecordKind_alive) {
    queue_.noteHeard(record.subject, RecordClass::alive, record.incarnation);
  } else if (record.kind == wire::RecordKind_death) {
    queue_.noteHeard(record.subject, RecordClass::death, record.incarnation);
  }
}

void Endpoint::relayAlive(const Record& record, bool urgent) {
  const auto& alive = *reinterpret_cast<const wire::Alive*>(slabAt(record.offset));
  ContentParts content;
  content.address = *fromWire(alive.v4(), alive.v6());
  content.name = alive.name()->string_view();
  if (alive.meta()) content.payload = {alive.meta()->data(), alive.meta()->size()};
  if (const wire::Versions* v = alive.versions()) {
    content.hasVersions = true;
    content.versions = {v->protocol_min(),    v->protocol_max(),    v->protocol(),
                        v->application_min(), v->application_max(), v->application()};
  }
  Broadcast out;
  // A name that was new to us has been interned since the record was written.
  out.subject = parts_.interner.findName(content.name);
  if (out.subject == 0) return;
  out.content = Content::make(content);
  out.incarnation = alive.incarnation();
  out.kind = RecordClass::alive;
  out.flags = flagsOf(out.kind, urgent);
  out.wireBytes = static_cast<uint32_t>(aliveWireBytes(
      content.name.size(), content.address, content.payload.size(), content.hasVersions));
  push(std::move(out));
}

void Endpoint::relayAccusation(const Record& record, bool urgent) {
  if (record.subject == 0) return;
  const auto& accusation = *reinterpret_cast<const wire::Accusation*>(slabAt(record.offset));
  Broadcast out;
  out.subject = record.subject;
  out.from = record.from;
  out.incarnation = record.incarnation;
  out.evidence = static_cast<uint8_t>(accusation.evidence());
  out.kind = record.kind == wire::RecordKind_suspect ? RecordClass::suspect : RecordClass::death;
  out.flags = flagsOf(out.kind, urgent);
  out.wireBytes = kAccusationWireBytes;
  if (out.from == 0) {
    ContentParts content;
    content.sequence = accusation.from();
    out.content = Content::make(content);
  }
  push(std::move(out));
}

}  // namespace tattler
