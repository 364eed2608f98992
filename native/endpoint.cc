#include "endpoint.h"

#include <algorithm>

namespace tattler {

namespace {

// Urgent news waits while more than this is on its way, so that a mass failure cannot storm: a few
// milliseconds of sending (EXPERIMENTS C).
constexpr size_t kUrgentBacklogBytes = 128 * 1024;

uint32_t wholeSeconds(double ms) { return static_cast<uint32_t>(ms / 1000); }

BroadcastQueue::Options queueOptions(const EndpointConfig& config, Interner& interner) {
  BroadcastQueue::Options options;
  options.retransmitMult = config.retransmitMult;
  options.queueRecords = config.queueRecords;
  options.messageShare = config.messageShare;
  options.feedback = config.gossipFeedback;
  options.urgentFanout = config.urgentFanout;
  options.onFree = [&interner](const Broadcast& record) {
    interner.release(record.subject);
    interner.release(record.from);
  };
  return options;
}

}  // namespace

bool isVerifiedFrame(Bytes frame) {
  flatbuffers::Verifier::Options options;
  options.max_depth = 4;
  options.max_tables = 1 << 16;
  flatbuffers::Verifier verifier(frame.data(), frame.size(), options);
  return verifier.VerifyBuffer<wire::Frame>(nullptr);
}

Endpoint::Endpoint(uint32_t index, EndpointConfig config, EndpointParts parts, Counters counters,
                   double* heardMs)
    : index_(index),
      config_(std::move(config)),
      parts_(parts),
      counters_(counters),
      heardMs_(*heardMs),
      envelope_(config_.cluster, config_.keyring != nullptr),
      io_{KeyView(config_.keyring), &parts_.ioCiphers},
      streams_{KeyView(config_.keyring), &parts_.streamCiphers},
      parser_(parts_.interner, parts_.ring, parts_.limiter, parts_.lastAddress),
      queue_(queueOptions(config_, parts_.interner)) {
  parts_.interner.retain(config_.self);
}

Endpoint::~Endpoint() { parts_.interner.release(config_.self); }

// --- datagrams

Composer& Endpoint::startBody() {
  parts_.composer.start(config_.selfId, digest_.load(std::memory_order_relaxed));
  return parts_.composer;
}

bool Endpoint::transmit(AddressHandle to, Bytes body, bool urgent) {
  const Address* address = parts_.interner.addressOf(to);
  if (!address) return false;
  if (parts_.transmit.push(index_, *address, body, urgent)) return true;
  counters_.add(wire::Counter_transmitRingFull);
  return false;
}

bool Endpoint::transmitToppedUp(AddressHandle to) {
  size_t records = 0;
  const Bytes body = parts_.composer.finish(queue_, bodyBudget(), records);
  publishQueueCounters();
  return transmit(to, body, true);
}

bool Endpoint::sendPing(AddressHandle to, MemberHandle target, uint32_t seq) {
  startBody().ping(parts_.interner.idOf(target), seq);
  return transmitToppedUp(to);
}

// No piggyback (M-103): the accused must find its accusation first.
bool Endpoint::sendAccusingPing(AddressHandle to, MemberHandle target, uint32_t seq,
                                uint32_t incarnation, uint8_t evidence) {
  const MemberId id = parts_.interner.idOf(target);
  Composer& composer = startBody();
  composer.ping(id, seq);
  composer.suspect({id, config_.selfId, incarnation, static_cast<wire::Evidence>(evidence)});
  return transmit(to, composer.finish(), true);
}

bool Endpoint::sendAck(AddressHandle to, uint32_t seq, bool isOwn) {
  AckPayload::Copy payload;
  startBody().ack(seq, isOwn ? ackPayload_.copyTo(payload) : Bytes{});
  return transmitToppedUp(to);
}

bool Endpoint::sendNack(AddressHandle to, uint32_t seq) {
  startBody().nack(seq);
  return transmitToppedUp(to);
}

bool Endpoint::sendPingRequest(AddressHandle to, MemberHandle target, AddressHandle address,
                               uint32_t seq) {
  const Address* targetAddress = parts_.interner.addressOf(address);
  if (!targetAddress) return false;
  startBody().pingRequest(parts_.interner.idOf(target), *targetAddress, seq);
  return transmitToppedUp(to);
}

int32_t Endpoint::sendGossip(AddressHandle to) {
  if (!hasNews()) return 0;
  // Asked first: what fill() picks counts as sent.
  if (!parts_.transmit.hasRoom(bodyBudget())) {
    counters_.add(wire::Counter_transmitRingFull);
    return -1;
  }
  size_t records = 0;
  const Bytes body = startBody().finish(queue_, bodyBudget(), records);
  publishQueueCounters();
  if (records == 0) return 0;
  return transmit(to, body, false) ? static_cast<int32_t>(records) : -1;
}

int32_t Endpoint::sendUrgent(std::span<const AddressHandle> targets) {
  if (!queue_.hasUrgent() || targets.empty()) return 0;
  if (parts_.transmit.usedBytes() > kUrgentBacklogBytes) return -1;
  size_t records = 0;
  const auto sends = static_cast<uint32_t>(targets.size());
  const Bytes body = startBody().finishUrgent(queue_, bodyBudget(), sends, records);
  publishQueueCounters();
  if (records == 0) return 0;
  for (const AddressHandle to : targets) transmit(to, body, false);
  return static_cast<int32_t>(records);
}

bool Endpoint::sendMessage(AddressHandle to, Bytes payload) {
  if (payload.size() > maxMessageBytes()) return false;
  startBody().message(config_.selfId, 0, true, payload);
  return transmit(to, parts_.composer.finish(), false);
}

// --- stream chunks

size_t Endpoint::sealFrame(Bytes frame, Bytes context, uint8_t* out) {
  counters_.add(wire::Counter_framesSealed);
  return envelope_.seal(streams_, frame, context, out);
}

std::variant<size_t, wire::Counter> Endpoint::openFrame(Bytes chunk, Bytes context, uint8_t* out) {
  const auto opened = envelope_.open(streams_, chunk, context, out);
  if (const auto* refusal = std::get_if<wire::Counter>(&opened)) {
    counters_.add(wire::Counter_framesRejected);
    return *refusal;
  }
  const size_t bytes = std::get<Envelope::Opened>(opened).bodyBytes;
  if (!isVerifiedFrame({out, bytes})) {
    counters_.add(wire::Counter_framesRejected);
    return wire::Counter_dropMalformed;
  }
  counters_.add(wire::Counter_framesOpened);
  return bytes;
}

// --- I/O thread

std::optional<PendingAck> Endpoint::receive(const Address& source, Bytes datagram,
                                            double receivedAtMs, bool stalled) {
  counters_.add(wire::Counter_datagramsReceived);
  counters_.add(wire::Counter_bytesReceived, datagram.size());
  if (!config_.allow.allows(source)) {
    counters_.add(wire::Counter_dropDisallowed);
    return std::nullopt;
  }
  const MutableBytes slab = parts_.ring.reserve(kPrefixBytes + datagram.size());
  if (slab.empty()) {
    counters_.add(wire::Counter_dropRingProbes);
    parts_.ring.noteDrop();
    return std::nullopt;
  }
  uint8_t* body = slab.data() + kPrefixBytes;
  const auto opened = envelope_.open(io_, datagram, {}, body);
  if (const auto* refusal = std::get_if<wire::Counter>(&opened)) {
    counters_.add(*refusal);
    return std::nullopt;
  }
  const auto& [bodyBytes, bootId, counter] = std::get<Envelope::Opened>(opened);
  if (!replay_.accept(bootId, counter, wholeSeconds(receivedAtMs))) {
    counters_.add(wire::Counter_dropReplay);
    return std::nullopt;
  }
  const bool mayAnswer = config_.stallToleranceMs > 0;
  const ParseContext context{.endpoint = index_,
                             .self = config_.selfId,
                             .source = source,
                             .receivedAtMs = receivedAtMs,
                             .answersPings = mayAnswer && !stalled,
                             .isStalled = mayAnswer && stalled,
                             .pingsPerSecond = config_.pingsPerSecond,
                             .counters = counters_};
  std::optional<PendingAck> pendingAck;
  if (!parser_.parse(context, slab.first(kPrefixBytes), {body, bodyBytes}, pendingAck)) {
    counters_.add(wire::Counter_dropMalformed);
    return std::nullopt;
  }
  heardMs_.store(receivedAtMs, std::memory_order_release);
  return pendingAck;
}

std::optional<PendingAck> Endpoint::pingIn(Bytes datagram) {
  std::vector<uint64_t> body(datagram.size() / sizeof(uint64_t) + 1);
  auto* out = reinterpret_cast<uint8_t*>(body.data());
  const auto opened = envelope_.open(io_, datagram, {}, out);
  const auto* sizes = std::get_if<Envelope::Opened>(&opened);
  if (!sizes) return std::nullopt;
  return PacketParser::pingIn({out, sizes->bodyBytes}, config_.selfId);
}

bool Endpoint::parseBody(Bytes body, double nowMs) {
  const MutableBytes slab = parts_.ring.reserve(kPrefixBytes + body.size());
  if (slab.empty()) return false;
  std::ranges::copy(body, slab.begin() + kPrefixBytes);
  const ParseContext context{.endpoint = index_,
                             .self = config_.selfId,
                             .source = config_.bind,
                             .receivedAtMs = nowMs,
                             .answersPings = true,
                             .isStalled = false,
                             .pingsPerSecond = 0,
                             .counters = counters_};
  std::optional<PendingAck> ignored;
  const Bytes copy{slab.data() + kPrefixBytes, body.size()};
  return parser_.parse(context, slab.first(kPrefixBytes), copy, ignored);
}

void Endpoint::describeRefusal(const Address& destination, double nowMs) {
  counters_.add(wire::Counter_refusals);
  const auto reader = parts_.interner.reader();
  const AddressHandle address = parts_.interner.findAddress(destination);
  const MutableBytes slab = parts_.ring.reserve(kPrefixBytes);
  if (address == 0 || slab.empty() || !parts_.ring.hasRoom(1)) {
    counters_.add(wire::Counter_refusalsUnknown);
    return;
  }
  std::memcpy(slab.data(), destination.ip.data(), destination.ip.size());
  std::memcpy(slab.data() + destination.ip.size(), &destination.port, sizeof destination.port);
  Record& record = parts_.ring.append();
  record = {};
  record.kind = wire::RecordKind_refused;
  record.endpoint = index_;
  record.source = address;
  record.prefix = parts_.ring.offsetOf(slab.data());
  record.receivedAtMs = nowMs;
  parts_.ring.finish(kPrefixBytes);
  parts_.ring.publish();
}

size_t Endpoint::sealDatagram(Bytes body, uint8_t* out) {
  return envelope_.seal(io_, body, {}, out);
}

size_t Endpoint::sealAck(uint32_t seq, Composer& composer, uint8_t* out) {
  composer.start(config_.selfId, digest_.load(std::memory_order_relaxed));
  AckPayload::Copy payload;
  composer.ack(seq, ackPayload_.copyTo(payload));
  counters_.add(wire::Counter_instantAcks);
  return sealDatagram(composer.finish(), out);
}

}  // namespace tattler
