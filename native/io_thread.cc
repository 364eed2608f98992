#include "io_thread.h"

#include <algorithm>

namespace tattler {

namespace {

// One socket may take about this many datagrams before the others get their turn.
constexpr size_t kDatagramsPerTurn = 8 * kBatch;
constexpr size_t kArenaBytes = 256 * 1024;
// A socket whose buffer stays full this long loses the datagram at the head.
constexpr double kBlockedLimitMs = 50;
// System calls for sending before the sockets are read again.
constexpr int kRunsPerTurn = 256;

}  // namespace

IoThread::IoThread(std::unique_ptr<UdpBackend> backend, const Interner& interner, ReceiveRing& ring,
                   TransmitRing& transmit, CipherCache& ciphers, std::function<void()> wakeJs)
    : backend_(std::move(backend)),
      ring_(ring),
      transmit_(transmit),
      ciphers_(ciphers),
      wakeJs_(std::move(wakeJs)),
      composer_(interner),
      outgoing_(kArenaBytes),
      answers_(kArenaBytes),
      thread_([this] { run(); }) {}

IoThread::~IoThread() {
  stopping_.store(true, std::memory_order_seq_cst);
  backend_->wake();
  thread_.join();
}

// --- JS thread

void IoThread::add(Endpoint* endpoint, int fd) { post({Command::Kind::add, endpoint, fd}); }

void IoThread::remove(const Endpoint* endpoint) {
  post({Command::Kind::remove, const_cast<Endpoint*>(endpoint), -1});
}

void IoThread::post(Command command) {
  std::unique_lock lock(mutex_);
  commands_.push_back(command);
  const uint64_t ticket = ++posted_;
  hasCommands_.store(true, std::memory_order_seq_cst);
  backend_->wake();
  obeyed_.wait(lock, [this, ticket] { return done_ >= ticket; });
}

void IoThread::flush() {
  if (transmit_.isEmpty()) return;
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (sleeping_.load(std::memory_order_seq_cst)) backend_->wake();
}

void IoThread::requestDrain() {
  drainRequested_.store(true, std::memory_order_seq_cst);
  if (sleeping_.load(std::memory_order_seq_cst)) backend_->wake();
}

// --- I/O thread

void IoThread::run() {
  while (!stopping_.load(std::memory_order_relaxed)) {
    const int timeoutMs = sleepTimeoutMs();
    // Taken before the kernel is asked, so that what arrived earlier is surely in the answer.
    const double passBeganMs = monotonicMs();
    const bool drainWanted = drainRequested_.exchange(false);
    const uint64_t dropsBefore = ring_.drops();
    const auto ready = backend_->wait(drainWanted ? 0 : timeoutMs);
    sleeping_.store(false, std::memory_order_relaxed);
    const bool emptied = receiveReady(ready);
    const bool sent = transmitAll();
    obey();
    // No verdict before drain: a pass that left or dropped something vouches for nothing.
    const bool isClean = emptied && sent && ring_.drops() == dropsBefore;
    if (isClean) drainedThroughMs_.store(passBeganMs, std::memory_order_release);
    if (drainWanted && !isClean) drainRequested_.store(true);
    if (ring_.readable() > 0 || (drainWanted && isClean)) wake();
  }
}

bool IoThread::hasWork() const {
  return !transmit_.isEmpty() || drainRequested_.load(std::memory_order_seq_cst) ||
         hasCommands_.load(std::memory_order_seq_cst) ||
         stopping_.load(std::memory_order_seq_cst);
}

int IoThread::sleepTimeoutMs() {
  if (blockedSinceMs_ > 0) return 1;
  sleeping_.store(true, std::memory_order_seq_cst);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return hasWork() ? 0 : -1;
}

void IoThread::wake() {
  if (wakePending_.exchange(true, std::memory_order_seq_cst)) return;
  wokenAtMs_.store(monotonicMs(), std::memory_order_relaxed);
  wakeJs_();
}

// --- commands

void IoThread::obey() {
  if (!hasCommands_.load(std::memory_order_acquire)) return;
  const std::lock_guard lock(mutex_);
  for (const Command& command : commands_) obeyOne(command);
  done_ += commands_.size();
  commands_.clear();
  hasCommands_.store(false, std::memory_order_release);
  obeyed_.notify_all();
}

void IoThread::obeyOne(const Command& command) {
  const uint32_t index = command.endpoint->index();
  if (command.kind == Command::Kind::add) {
    if (served_.size() <= index) served_.resize(index + 1);
    served_[index] = {command.endpoint, command.fd};
    backend_->watch(command.fd, index);
    return;
  }
  Served& served = servedAt(index);
  if (!served.endpoint) return;
  transmitAll();
  backend_->unwatch(served.fd);
  backend_->closeSocket(served.fd);
  served = {};
  ciphers_.purge();
}

IoThread::Served& IoThread::servedAt(uint32_t index) {
  return index < served_.size() ? served_[index] : nobody_;
}

// --- receive

bool IoThread::receiveReady(std::span<const UdpBackend::Ready> ready) {
  bool emptied = true;
  for (const UdpBackend::Ready& event : ready) {
    const Served& served = servedAt(event.token);
    if (!served.endpoint) continue;
    if (event.failed) readRefusals(served);
    if (event.readable) emptied &= receiveFrom(served);
  }
  return emptied;
}

bool IoThread::receiveFrom(const Served& served) {
  Endpoint& endpoint = *served.endpoint;
  for (size_t taken = 0; taken < kDatagramsPerTurn;) {
    const auto [batch, isDrained] = backend_->receive(served.fd);
    if (batch.empty()) return true;
    taken += batch.size();
    endpoint.counters().add(wire::Counter_receiveBatches);
    const double nowMs = monotonicMs();
    const double drainedMs = drainedThroughMs_.load(std::memory_order_relaxed);
    const bool stalled = isStalled(endpoint, nowMs);
    for (const ReceivedDatagram& datagram : batch) {
      if (datagram.truncated) {
        endpoint.counters().add(wire::Counter_dropTruncated);
        continue;
      }
      // The kernel's stamps are wall-clock: a step of that clock must not move a datagram into the
      // past that a verdict has already covered.
      const double atMs = std::max(nowMs - datagram.ageMs, std::min(drainedMs, nowMs));
      const auto ack = endpoint.receive(datagram.source, datagram.bytes, atMs, stalled);
      if (ack) answer(served, datagram.source, *ack);
    }
    flushAnswers(served);
    if (isDrained) return true;
  }
  return false;
}

// JavaScript was woken and has not come since: a hung process must not look alive for ever.
bool IoThread::isStalled(const Endpoint& endpoint, double nowMs) const {
  return wakePending_.load(std::memory_order_relaxed) &&
         nowMs - wokenAtMs_.load(std::memory_order_relaxed) > endpoint.config().stallToleranceMs;
}

void IoThread::answer(const Served& served, const Address& to, PendingAck ack) {
  constexpr size_t kMostAckBytes = 256 + kMaxAckPayloadBytes;
  if (!answers_.hasRoom(kMostAckBytes)) flushAnswers(served);
  uint8_t* out = answers_.arena.get() + answers_.used;
  const size_t bytes = served.endpoint->sealAck(ack.seq, composer_, out);
  if (bytes == 0) return;
  answers_.datagrams[answers_.count++] = {to, {out, bytes}};
  answers_.used += bytes;
}

void IoThread::flushAnswers(const Served& served) {
  if (answers_.count == 0) return;
  // An ack that finds the socket's buffer full is lost, as on the wire.
  auto result = backend_->send(served.fd, {answers_.datagrams, answers_.count});
  result.errors += answers_.count - result.done;
  countSent(*served.endpoint, answers_, result);
  answers_.count = 0;
  answers_.used = 0;
}

void IoThread::readRefusals(const Served& served) {
  const double nowMs = monotonicMs();
  for (const Address& destination : backend_->refusals(served.fd)) {
    served.endpoint->describeRefusal(destination, nowMs);
  }
}

// --- transmit

bool IoThread::transmitAll() {
  uint64_t cursor = transmit_.begin();
  for (int run = 0; run < kRunsPerTurn && !transmit_.isEmpty(); run++) {
    if (!transmitRun(cursor)) {
      const double nowMs = monotonicMs();
      if (blockedSinceMs_ == 0) blockedSinceMs_ = nowMs;
      if (nowMs - blockedSinceMs_ < kBlockedLimitMs) return false;
      TransmitRing::Entry entry;
      if (transmit_.next(cursor, entry)) {
        const Served& served = servedAt(entry.slot->endpoint);
        if (served.endpoint) served.endpoint->counters().add(wire::Counter_sendErrors);
        transmit_.release(cursor);
      }
    }
    blockedSinceMs_ = 0;
  }
  return transmit_.isEmpty();
}

void IoThread::gather(uint64_t& begin, Endpoint& endpoint, uint64_t* ends) {
  outgoing_.count = 0;
  outgoing_.used = 0;
  uint64_t cursor = begin;
  TransmitRing::Entry entry;
  while (transmit_.next(cursor, entry) && entry.slot->endpoint == endpoint.index() &&
         outgoing_.hasRoom(entry.body.size() + Envelope::kOverheadBytes)) {
    uint8_t* out = outgoing_.arena.get() + outgoing_.used;
    const size_t bytes = endpoint.sealDatagram(entry.body, out);
    if (bytes == 0) {  // no key to seal with
      endpoint.counters().add(wire::Counter_sendErrors);
      (outgoing_.count == 0 ? begin : ends[outgoing_.count - 1]) = cursor;
      continue;
    }
    ends[outgoing_.count] = cursor;
    outgoing_.datagrams[outgoing_.count++] = {entry.slot->to, {out, bytes}};
    outgoing_.used += bytes;
  }
}

bool IoThread::transmitRun(uint64_t& cursor) {
  uint64_t peek = cursor;
  TransmitRing::Entry first;
  if (!transmit_.next(peek, first)) return true;
  const uint32_t index = first.slot->endpoint;
  const Served served = servedAt(index);
  if (!served.endpoint) {  // closed meanwhile
    cursor = peek;
    transmit_.release(cursor);
    return true;
  }
  uint64_t ends[kBatch];
  gather(cursor, *served.endpoint, ends);
  UdpBackend::SendResult result;
  if (outgoing_.count > 0) {
    result = backend_->send(served.fd, {outgoing_.datagrams, outgoing_.count});
    countSent(*served.endpoint, outgoing_, result);
  }
  if (result.done > 0) cursor = ends[result.done - 1];
  transmit_.release(cursor);
  return result.done == outgoing_.count;
}

void IoThread::countSent(Endpoint& endpoint, const Batch& batch,
                         const UdpBackend::SendResult& result) {
  Counters& counters = endpoint.counters();
  size_t bytes = 0;
  for (size_t i = 0; i < result.done; i++) bytes += batch.datagrams[i].bytes.size();
  counters.add(wire::Counter_sendBatches);
  counters.add(wire::Counter_datagramsSent, result.sent);
  counters.add(wire::Counter_bytesSent, bytes);
  counters.add(wire::Counter_sendErrors, result.errors);
  counters.add(wire::Counter_sendRefused, result.refused);
}

}  // namespace tattler
