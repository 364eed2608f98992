// The JavaScript thread against the I/O thread, for ThreadSanitizer: both rings with a producer and a consumer, then
// whole hubs on loopback that send, gossip, rotate keys, open and close while the other thread receives and answers.
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>

#include "check.h"
#include "hub.h"

namespace {

using namespace tattler;

constexpr uint32_t kDatagrams = 60'000;

// What datagram number `n` is filled with.
uint8_t byteOf(uint32_t n) { return static_cast<uint8_t>(n * 31 + 7); }

bool isFilled(Bytes bytes, uint8_t value) {
  return std::ranges::all_of(bytes, [&](uint8_t byte) { return byte == value; });
}

void produce(ReceiveRing& ring) {
  std::mt19937 dice(1);
  for (uint32_t n = 0; n < kDatagrams;) {
    const MutableBytes slab = ring.reserve(1 + dice() % 200);
    const auto records = static_cast<uint32_t>(1 + dice() % 3);
    if (slab.empty() || !ring.hasRoom(records)) {
      std::this_thread::yield();
      continue;
    }
    std::ranges::fill(slab, byteOf(n));
    for (uint32_t i = 0; i < records; ++i) {
      Record& record = ring.append();
      record = {};
      record.seq = n;
      record.offset = ring.offsetOf(slab.data());
      record.length = static_cast<uint32_t>(slab.size());
    }
    ring.finish(slab.size());
    ring.publish();
    ++n;
  }
}

void testReceiveRing() {
  std::vector<Record> records(64);
  std::vector<uint8_t> slab(4096);
  ReceiveRing ring(records, slab, true);
  std::thread producer([&] { produce(ring); });
  uint32_t wrong = 0;
  uint32_t next = 0;
  while (next < kDatagrams - 1 || ring.readable() > 0) {
    const uint32_t count = ring.readable();
    for (uint32_t i = 0; i < count; ++i) {
      const Record& record = ring.at(ring.readIndex() + i);
      if (record.seq < next || record.seq > next + 1) ++wrong;
      next = record.seq;
      if (!isFilled({slab.data() + record.offset, record.length}, byteOf(next))) ++wrong;
    }
    ring.consume(count);
    if (count == 0) std::this_thread::yield();
  }
  producer.join();
  CHECK(wrong == 0 && next == kDatagrams - 1);
}

void testTransmitRing() {
  TransmitRing ring(4096);
  std::thread producer([&] {
    std::mt19937 dice(2);
    for (uint32_t n = 0; n < kDatagrams;) {
      const std::vector<uint8_t> body(1 + dice() % 200, byteOf(n));
      if (ring.push(n, Address{}, body, n % 4 == 0)) {
        ++n;
      } else {
        std::this_thread::yield();
      }
    }
  });
  uint32_t wrong = 0;
  for (uint32_t n = 0; n < kDatagrams;) {
    uint64_t cursor = ring.begin();
    TransmitRing::Entry entry;
    if (!ring.next(cursor, entry)) {
      std::this_thread::yield();
      continue;
    }
    if (entry.slot->endpoint != n || !isFilled(entry.body, byteOf(n))) ++wrong;
    ring.release(cursor);
    ++n;
  }
  producer.join();
  CHECK(wrong == 0 && ring.isEmpty());
}

// One hub with its memory, and the thread that would run JavaScript.
class Scene {
 public:
  explicit Scene(const char* backend) {
    Hub::Options options;
    options.backend = backend;
    options.ring = records_;
    options.slab = slab_;
    options.counters = counters_.data();
    options.heardMs = heard_.data();
    options.maxEndpoints = 8;
    options.transmitBytes = 1 << 16;
    options.maxDatagramBytes = 2048;
    options.poison = true;
    hub_ = Hub::make(options, [this] {
      const std::lock_guard lock(mutex_);
      isWoken_ = true;
      woken_.notify_one();
    });
    keyring_->add(std::array<uint8_t, 32>{1});
  }

  // False when not enough was received in time.
  bool run() {
    const auto a = open("a");
    const auto b = open("b");
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    for (uint32_t round = 0; received_ < 3000; ++round) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      send(round, *a, *b);
      hub_->flush();
      disturb(round, *a, *b);
      drain(*a);
    }
    hub_->close(*a);
    hub_->shutDown();
    return true;
  }

 private:
  std::shared_ptr<Endpoint> open(const char* name) {
    EndpointConfig config;
    config.bind.ip = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1};
    config.self = hub_->interner().intern(name);
    config.selfId = hub_->interner().idOf(config.self);
    config.cluster = "race";
    config.keyring = keyring_;
    config.stallToleranceMs = 5000;
    config.gossipFeedback = true;
    Address address = config.bind;
    const auto opened = hub_->open(std::move(config));
    address.port = opened.socket.port;
    addresses_[opened.endpoint->index()] = hub_->interner().internAddress(address);
    return opened.endpoint;
  }

  // What seldom happens, and happens while datagrams fly.
  void disturb(uint32_t round, Endpoint& a, Endpoint& b) {
    if (round % 16 == 3) {
      const auto passing = open("c");
      passing->sendPing(addresses_[a.index()], a.config().self, round);
      hub_->flush();
      hub_->close(*passing);
    }
    if (round % 32 == 5) {
      const auto id = keyring_->add(std::array<uint8_t, 32>{static_cast<uint8_t>(2 + round % 200)});
      const KeyId before = keyring_->keys().front()->id();
      if (id && keyring_->use(*id)) keyring_->remove(before);
    }
    b.setAckPayload(std::vector<uint8_t>(round % 256, 9));
    if (round % 8 == 2) b.setEncryption(round % 16 == 2, true);
    if (round % 8 == 4) hub_->requestDrain();
    a.setDigest(round);
  }

  void send(uint32_t round, Endpoint& a, Endpoint& b) {
    const AddressHandle toB = addresses_[b.index()];
    const MemberHandle passing = hub_->interner().intern("passing-" + std::to_string(round % 64));
    a.queueAlive(passing, toB, round, {}, std::nullopt, round % 2 == 0);
    a.queueAccusation(RecordClass::suspect, passing, a.config().self, round, 0, false);
    hub_->interner().release(passing);
    for (uint32_t i = 0; i < 8; ++i) a.sendPing(toB, b.config().self, round * 8 + i);
    b.sendPing(addresses_[a.index()], a.config().self, round);
    const AddressHandle targets[] = {toB};
    a.sendUrgent(targets);
    a.sendGossip(toB);
    const std::array<uint8_t, 64> payload{};
    a.queueMessage(a.config().self, round, payload);
  }

  void drain(Endpoint& endpoint) {
    std::unique_lock lock(mutex_);
    woken_.wait_for(lock, std::chrono::milliseconds(2), [this] { return isWoken_; });
    isWoken_ = false;
    lock.unlock();
    hub_->noteDrain();
    drainedMs_ = std::max(drainedMs_, hub_->drainedThroughMs());
    const uint32_t count = hub_->poll();
    for (uint32_t i = 0; i < count; ++i) {
      const Record& record = hub_->ring().at(hub_->ring().readIndex() + i);
      sum_ += isFilled({slab_.data() + record.offset, record.length}, 9);
      endpoint.relay(record, i % 2 == 0);
    }
    hub_->consume(count);
    received_ += count;
  }

  std::vector<Record> records_ = std::vector<Record>(1024);
  std::vector<uint8_t> slab_ = std::vector<uint8_t>(1 << 18);
  std::vector<uint64_t> counters_ = std::vector<uint64_t>(8 * wire::Counter_count);
  std::vector<double> heard_ = std::vector<double>(8);
  std::array<AddressHandle, 8> addresses_{};
  std::shared_ptr<Keyring> keyring_ = std::make_shared<Keyring>();
  std::mutex mutex_;
  std::condition_variable woken_;
  bool isWoken_ = false;
  double drainedMs_ = 0;
  uint64_t received_ = 0;
  uint64_t sum_ = 0;
  std::shared_ptr<Hub> hub_;
};

}  // namespace

int main() {
  testReceiveRing();
  testTransmitRing();
  CHECK(Scene("linux").run());
  CHECK(Scene("posix").run());
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
