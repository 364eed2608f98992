#include "hub.h"

#include <algorithm>
#include <cerrno>

namespace tattler {

std::shared_ptr<Hub> Hub::make(const Options& options, std::function<void()> wakeJs) {
  if (options.backend == "manual") {
    return std::shared_ptr<Hub>(new Hub(options, nullptr, std::move(wakeJs)));
  }
  auto backend = makeUdpBackend(options.backend, options.maxDatagramBytes);
  if (!backend) return nullptr;
  return std::shared_ptr<Hub>(new Hub(options, std::move(backend), std::move(wakeJs)));
}

Hub::Hub(const Options& options, std::unique_ptr<UdpBackend> backend, std::function<void()> wakeJs)
    : options_(options),
      ring_(options.ring, options.slab, options.poison),
      transmit_(options.transmitBytes),
      interner_([this] { return ring_.writePosition(); }),
      composer_(interner_) {
  if (!backend) return;
  io_ = std::make_unique<IoThread>(std::move(backend), interner_, ring_, transmit_, ioCiphers_,
                                   std::move(wakeJs));
}

Hub::~Hub() { shutDown(); }

void Hub::requestDrain() {
  if (io_) io_->requestDrain();
}

void Hub::flush() {
  if (io_) io_->flush();
}

void Hub::noteDrain() {
  if (io_) io_->noteDrain();
}

uint32_t Hub::poll() {
  const uint32_t readable = ring_.readable();
  const uint64_t first = ring_.readPosition();
  // Before JavaScript relays what is news, so that nothing counts as heard from its first teller.
  for (heardThrough_ = std::max(heardThrough_, first); heardThrough_ < first + readable; ++heardThrough_) {
    const Record& record = ring_.at(static_cast<uint32_t>(heardThrough_));
    if (Endpoint* endpoint = at(record.endpoint)) endpoint->noteHeard(record);
  }
  return readable;
}

void Hub::consume(uint32_t count) {
  ring_.consume(count);
  interner_.recycle(ring_.readPosition());
}

// --- endpoints

std::optional<uint32_t> Hub::takeIndex() {
  if (!freed_.empty() && freed_.front().ringPosition <= ring_.readPosition()) {
    const uint32_t index = freed_.front().index;
    freed_.erase(freed_.begin());
    return index;
  }
  if (endpoints_.size() >= options_.maxEndpoints) return std::nullopt;
  endpoints_.emplace_back();
  return static_cast<uint32_t>(endpoints_.size() - 1);
}

Hub::OpenResult Hub::open(EndpointConfig config) {
  OpenResult result;
  result.socket.error = EMFILE;
  const auto index = takeIndex();
  if (!index) return result;
  if (io_) {
    result.socket = io_->openSocket(config.bind);
    if (result.socket.fd < 0) {
      freed_.insert(freed_.begin(), {0, *index});
      return result;
    }
  }
  uint64_t* counters = options_.counters + size_t{*index} * wire::Counter_count;
  std::fill_n(counters, static_cast<size_t>(wire::Counter_count), uint64_t{0});
  options_.heardMs[*index] = 0;
  const EndpointParts parts{interner_, ring_, transmit_, composer_, ioCiphers_, streamCiphers_,
                            limiter_, lastAddress_};
  result.endpoint = std::make_shared<Endpoint>(*index, std::move(config), parts,
                                               Counters(counters), options_.heardMs + *index);
  endpoints_[*index] = result.endpoint;
  if (io_) io_->add(result.endpoint.get(), result.socket.fd);
  return result;
}

void Hub::close(Endpoint& endpoint) {
  const uint32_t index = endpoint.index();
  if (at(index) != &endpoint) return;
  if (io_) io_->remove(&endpoint);
  streamCiphers_.purge();
  // Records written before the removal still name it; the position is read after.
  freed_.push_back({ring_.writePosition(), index});
  endpoints_[index].reset();
}

void Hub::shutDown() {
  if (isShutDown_) return;
  isShutDown_ = true;
  for (const auto& endpoint : std::vector(endpoints_)) {
    if (endpoint) close(*endpoint);
  }
  io_.reset();
}

Endpoint* Hub::at(uint32_t index) {
  return index < endpoints_.size() ? endpoints_[index].get() : nullptr;
}

// --- manual hubs

bool Hub::deliver(uint32_t index, AddressHandle source, Bytes datagram, double nowMs,
                  bool answers) {
  manualNowMs_ = nowMs;
  Endpoint* endpoint = at(index);
  const Address* from = interner_.addressOf(source);
  if (!endpoint || !from) return false;
  const uint64_t before = ring_.writePosition();
  const auto ack = endpoint->receive(*from, datagram, nowMs, false);
  if (ack && answers) endpoint->sendAck(source, ack->seq, true);
  return ring_.writePosition() != before;
}

bool Hub::answer(uint32_t index, AddressHandle source, Bytes datagram) {
  Endpoint* endpoint = at(index);
  const auto ack = endpoint ? endpoint->pingIn(datagram) : std::nullopt;
  return ack && endpoint->sendAck(source, ack->seq, true);
}

bool Hub::parse(uint32_t index, Bytes body, double nowMs) {
  manualNowMs_ = nowMs;
  Endpoint* endpoint = at(index);
  return endpoint && endpoint->parseBody(body, nowMs);
}

std::optional<Hub::Outgoing> Hub::takeOutgoing(MutableBytes into) {
  uint64_t cursor = transmit_.begin();
  TransmitRing::Entry entry;
  while (transmit_.next(cursor, entry)) {
    const uint32_t index = entry.slot->endpoint;
    const Address to = entry.slot->to;
    Endpoint* endpoint = at(index);
    size_t bytes = 0;
    if (endpoint && entry.body.size() + Envelope::kOverheadBytes <= into.size()) {
      bytes = endpoint->sealDatagram(entry.body, into.data());
    }
    transmit_.release(cursor);
    if (bytes == 0) continue;
    endpoint->counters().add(wire::Counter_datagramsSent);
    endpoint->counters().add(wire::Counter_bytesSent, bytes);
    return Outgoing{index, interner_.findAddress(to), bytes};
  }
  return std::nullopt;
}

}  // namespace tattler
