#include "packet.h"

namespace tattler {

namespace {

constexpr size_t kMappedPrefixBytes = 12;

size_t roundUp(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

wire::Evidence evidenceOf(uint8_t value) { return static_cast<wire::Evidence>(value); }

}  // namespace

void Header::write(uint8_t* out) const {
  out[0] = magic;
  out[1] = version;
  out[2] = flags;
  out[3] = reserved;
  std::memcpy(out + 4, &clusterTag, sizeof clusterTag);
  std::memcpy(out + 8, &keyId, sizeof keyId);
  std::memcpy(out + 12, &bootId, sizeof bootId);
  std::memcpy(out + 20, &counter, sizeof counter);
}

Header Header::read(const uint8_t* in) {
  Header header{in[0], in[1], in[2], in[3]};
  std::memcpy(&header.clusterTag, in + 4, sizeof header.clusterTag);
  std::memcpy(&header.keyId, in + 8, sizeof header.keyId);
  std::memcpy(&header.bootId, in + 12, sizeof header.bootId);
  std::memcpy(&header.counter, in + 20, sizeof header.counter);
  return header;
}

size_t aliveWireBytes(size_t nameBytes, const Address& address, size_t metaBytes,
                      bool hasVersions) {
  const size_t entry = 4;          // in the vector
  const size_t table = 4 + 4 + 4;  // vtable, name, incarnation
  const size_t socket = address.isV4() ? sizeof(wire::Address4) : sizeof(wire::Address6) + 2;
  const size_t name = roundUp(4 + nameBytes + 1, 4);
  const size_t meta = metaBytes == 0 ? 0 : 4 + roundUp(4 + metaBytes, 4);
  const size_t versions = hasVersions ? sizeof(wire::Versions) + 2 : 0;
  return entry + table + socket + name + meta + versions;
}

size_t messageWireBytes(size_t payloadBytes) {
  const size_t entry = 4;
  const size_t table = 4 + 4 + 8 + 8 + 4;  // vtable, payload, origin, sequence, direct and hops
  const size_t alignment = 4;              // of the 64-bit fields
  return entry + table + alignment + roundUp(4 + payloadBytes, 4);
}

void Composer::start(MemberId source, uint64_t digest) {
  forgetRecords();
  source_ = source;
  digest_ = digest;
  ping_.reset();
  ackSeq_.reset();
  nack_.reset();
  request_.reset();
}

void Composer::message(MemberId origin, uint64_t sequence, bool direct, Bytes payload,
                       uint8_t hops) {
  const auto bytes = builder_.CreateVector(payload.data(), payload.size());
  messages_.push_back(wire::CreateMessage(builder_, origin, sequence, direct, bytes, hops));
}

size_t Composer::fixedBytes() const {
  size_t bytes = kEnvelopeWireBytes;
  if (ping_) bytes += sizeof(wire::Ping);
  if (ackSeq_) bytes += 24 + roundUp(4 + ackPayload_.size(), 4);
  if (nack_) bytes += sizeof(wire::Nack);
  if (request_) bytes += 48;
  return bytes;
}

Bytes Composer::finish() { return build(); }

Bytes Composer::finish(BroadcastQueue& queue, size_t budget, size_t& records) {
  const bool isMixed = queue.membershipDepth() > 0 && queue.messageDepth() > 0;
  const size_t fixed = fixedBytes() + (isMixed ? kMixedWireBytes : 0);
  return buildWith(fixed < budget ? queue.fill(budget - fixed) : queue.fill(0), budget, records);
}

Bytes Composer::finishUrgent(BroadcastQueue& queue, size_t budget, uint32_t sends,
                             size_t& records) {
  return buildWith(queue.fillUrgent(budget - fixedBytes(), sends), budget, records);
}

Bytes Composer::buildWith(std::span<const Broadcast* const> picks, size_t budget, size_t& records) {
  records = picks.size();
  for (;;) {
    for (const Broadcast* record : picks.first(records)) add(*record);
    const Bytes body = build();
    if (body.size() <= budget || records == 0) return body;
    // Rare: more shapes of tables came together than was reckoned with (IPv6 among IPv4), each with
    // its own vtable.
    records--;
    forgetRecords();
  }
}

void Composer::forgetRecords() {
  builder_.Clear();
  suspects_.clear();
  deaths_.clear();
  alives_.clear();
  messages_.clear();
}

void Composer::add(const Broadcast& record) {
  switch (record.kind) {
    case RecordClass::alive:
      return addAlive(*record.content, record.incarnation);
    case RecordClass::suspect:
    case RecordClass::death:
      return addAccusation(record);
    case RecordClass::message:
      return message(interner_.idOf(record.from), record.content->sequence(), false,
                     record.content->payload(), record.content->hops());
  }
}

void Composer::addAlive(const Content& content, uint32_t incarnation) {
  const auto name = builder_.CreateString(content.name());
  const Bytes bytes = content.payload();
  const auto meta = bytes.empty() ? 0 : builder_.CreateVector(bytes.data(), bytes.size());
  const Address& address = content.address();
  const wire::Address4 v4 = toWire4(address);
  const wire::Address6 v6 = toWire6(address);
  const auto& v = content.versions();
  const wire::Versions versions(v[0], v[1], v[2], v[3], v[4], v[5]);
  alives_.push_back(wire::CreateAlive(builder_, name, incarnation, address.isV4() ? &v4 : nullptr,
                                      address.isV4() ? nullptr : &v6, meta,
                                      content.hasVersions() ? &versions : nullptr));
}

void Composer::addAccusation(const Broadcast& record) {
  // An accuser that this node does not know by name is passed on by id, kept in the content.
  const MemberId from = record.content ? record.content->sequence() : interner_.idOf(record.from);
  const wire::Accusation accusation(interner_.idOf(record.subject), from, record.incarnation,
                                    evidenceOf(record.evidence));
  (record.kind == RecordClass::suspect ? suspects_ : deaths_).push_back(accusation);
}

flatbuffers::Offset<wire::PingRequest> Composer::buildRequest() {
  if (!request_) return 0;
  const bool isV4 = request_->address.isV4();
  const wire::Address4 v4 = toWire4(request_->address);
  const wire::Address6 v6 = toWire6(request_->address);
  return wire::CreatePingRequest(builder_, request_->target, request_->seq, isV4 ? &v4 : nullptr,
                                 isV4 ? nullptr : &v6);
}

flatbuffers::Offset<wire::Ack> Composer::buildAck() {
  if (!ackSeq_) return 0;
  const auto payload =
      ackPayload_.empty() ? 0 : builder_.CreateVector(ackPayload_.data(), ackPayload_.size());
  return wire::CreateAck(builder_, *ackSeq_, payload);
}

Bytes Composer::build() {
  const auto suspects = suspects_.empty() ? 0 : builder_.CreateVectorOfStructs(suspects_);
  const auto deaths = deaths_.empty() ? 0 : builder_.CreateVectorOfStructs(deaths_);
  const auto alives = alives_.empty() ? 0 : builder_.CreateVector(alives_);
  const auto messages = messages_.empty() ? 0 : builder_.CreateVector(messages_);
  const auto request = buildRequest();
  const auto ack = buildAck();
  builder_.Finish(wire::CreatePacket(builder_, source_, digest_, ping_ ? &*ping_ : nullptr, ack,
                                     nack_ ? &*nack_ : nullptr, request, suspects, deaths, alives,
                                     messages));
  return {builder_.GetBufferPointer(), builder_.GetSize()};
}

wire::Address4 toWire4(const Address& address) {
  const uint8_t* ip = address.ip.data() + kMappedPrefixBytes;
  const uint32_t number = static_cast<uint32_t>(ip[0]) << 24 | static_cast<uint32_t>(ip[1]) << 16 |
                          static_cast<uint32_t>(ip[2]) << 8 | ip[3];
  return {number, address.port};
}

wire::Address6 toWire6(const Address& address) {
  return {flatbuffers::span<const uint8_t, 16>(address.ip.data(), 16), address.port};
}

std::optional<Address> fromWire(const wire::Address4* v4, const wire::Address6* v6) {
  if ((v4 == nullptr) == (v6 == nullptr)) return std::nullopt;
  Address address;
  if (v4) {
    address.ip = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    for (size_t i = 0; i < 4; i++) {
      address.ip[kMappedPrefixBytes + i] = static_cast<uint8_t>(v4->ip() >> (24 - 8 * i));
    }
    address.port = v4->port();
  } else {
    std::memcpy(address.ip.data(), v6->ip()->Data(), address.ip.size());
    address.port = v6->port();
  }
  if (address.port == 0) return std::nullopt;
  return address;
}

}  // namespace tattler
