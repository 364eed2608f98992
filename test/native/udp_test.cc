// Both back ends on loopback, and how datagrams go as runs (UDP_SEGMENT) and arrive joined (UDP_GRO) on Linux.
#include <poll.h>

#include <algorithm>
#include <random>

#include "check.h"
#include "udp_socket.h"

namespace {

using namespace tattler;

constexpr size_t kLongestDatagram = 65535;
constexpr int kPatienceMs = 10'000;
constexpr int kUdpGro = 104;

constexpr Address kLoopback{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1}};
constexpr Address kLoopback6{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
constexpr Address kAny6{};

Address at(Address ip, uint16_t port) {
  ip.port = port;
  return ip;
}

// A socket of the back end under test.
class Socket {
 public:
  Socket(UdpBackend& backend, const Address& bind) : backend_(backend), opened_(backend.open(bind)) {
    CHECK(opened_.fd >= 0);
    backend_.watch(opened_.fd, 0);
  }
  ~Socket() {
    backend_.unwatch(opened_.fd);
    backend_.closeSocket(opened_.fd);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  int fd() const { return opened_.fd; }
  uint16_t port() const { return opened_.port; }

 private:
  UdpBackend& backend_;
  OpenedSocket opened_;
};

using Datagrams = std::vector<std::vector<uint8_t>>;

// Datagrams side by side in memory, as the I/O thread seals them; each starts with its number.
class Burst {
 public:
  Burst& add(const Address& to, size_t bytes, size_t times = 1) {
    for (size_t i = 0; i < times; i++) {
      arena_.resize(arena_.size() + bytes, static_cast<uint8_t>(sizes_.size()));
      sizes_.push_back(bytes);
      to_.push_back(to);
    }
    return *this;
  }

  size_t bytes() const { return arena_.size(); }

  std::vector<OutgoingDatagram> datagrams() const {
    std::vector<OutgoingDatagram> all;
    const uint8_t* begin = arena_.data();
    for (size_t i = 0; i < sizes_.size(); begin += sizes_[i++]) {
      all.push_back({to_[i], {begin, sizes_[i]}});
    }
    return all;
  }

  Datagrams addressedTo(const Address& to) const {
    Datagrams all;
    for (const OutgoingDatagram& datagram : datagrams()) {
      if (datagram.to == to) all.emplace_back(datagram.bytes.begin(), datagram.bytes.end());
    }
    return all;
  }

 private:
  std::vector<uint8_t> arena_;
  std::vector<size_t> sizes_;
  std::vector<Address> to_;
};

// As the I/O thread does, until all are taken care of.
UdpBackend::SendResult sendAll(UdpBackend& backend, const Socket& from, const Burst& burst) {
  UdpBackend::SendResult sum;
  const auto datagrams = burst.datagrams();
  while (sum.done < datagrams.size()) {
    const auto result = backend.send(from.fd(), std::span(datagrams).subspan(sum.done));
    CHECK(result.done == result.sent + result.errors);
    if (result.done == 0) break;
    sum.done += result.done;
    sum.sent += result.sent;
    sum.errors += result.errors;
    sum.refused += result.refused;
  }
  return sum;
}

bool isReadable(int fd, int timeoutMs = kPatienceMs) {
  pollfd polled{fd, POLLIN, 0};
  return poll(&polled, 1, timeoutMs) == 1 && (polled.revents & POLLIN) != 0;
}

Datagrams receiveAll(UdpBackend& backend, const Socket& socket, size_t count) {
  Datagrams all;
  while (all.size() < count && isReadable(socket.fd())) {
    for (const auto& datagram : backend.receive(socket.fd()).datagrams) {
      CHECK(!datagram.truncated);
      all.emplace_back(datagram.bytes.begin(), datagram.bytes.end());
    }
  }
  return all;
}

void testBurst(UdpBackend& backend, const Burst& burst, const Socket& from,
               std::span<const Address> targets, std::span<const Socket* const> sockets) {
  const auto result = sendAll(backend, from, burst);
  CHECK(result.sent == burst.datagrams().size() && result.errors == 0 && result.refused == 0);
  for (size_t i = 0; i < targets.size(); i++) {
    const Datagrams expected = burst.addressedTo(targets[i]);
    CHECK(receiveAll(backend, *sockets[i], expected.size()) == expected);
    CHECK(!isReadable(sockets[i]->fd(), 0));
  }
}

// --- what both back ends do

void testRuns(UdpBackend& backend, const Address& bindFrom, const Address& bindTo) {
  const Socket from(backend, bindFrom);
  const Socket first(backend, bindTo);
  const Socket second(backend, bindTo);
  const Address targets[] = {at(bindTo, first.port()), at(bindTo, second.port())};
  const Socket* const sockets[] = {&first, &second};
  const auto [a, b] = targets;
  const Burst bursts[] = {
      Burst().add(a, 100),
      Burst().add(a, 100, 10),
      Burst().add(a, 100, 10).add(a, 99),
      Burst().add(a, 100, 10).add(a, 101).add(a, 1, 3),
      Burst().add(a, 100, 3).add(a, 0).add(a, 100, 3),
      Burst().add(a, 0, 3).add(a, 100),
      Burst().add(a, 100, 200),
      Burst().add(a, 1400, 100).add(a, 7),
      Burst().add(a, 33'000, 2).add(a, 40'000, 2),
      Burst().add(a, 50, 5).add(b, 50).add(a, 50, 5).add(b, 50, 5).add(b, 20).add(a, 20),
  };
  for (const Burst& burst : bursts) testBurst(backend, burst, from, targets, sockets);
  std::mt19937 dice(1);
  for (int round = 0; round < 100; round++) {
    Burst burst;
    for (uint32_t run = 0, runs = 1 + dice() % 8; run < runs; run++) {
      burst.add(targets[dice() % 2], 1 + dice() % 3 * 100, 1 + dice() % 80);
    }
    testBurst(backend, burst, from, targets, sockets);
  }
}

void testRefused(UdpBackend& backend) {
  const Socket from(backend, kLoopback);
  const Socket to(backend, kLoopback);
  const Address open = at(kLoopback, to.port());
  Address nobody;
  {
    const Socket closed(backend, kLoopback);
    nobody = at(kLoopback, closed.port());
  }
  for (int round = 0; round < 3; round++) {
    const Burst burst = Burst().add(open, 80, 20).add(nobody, 80, 20).add(open, 80, 20);
    const auto result = sendAll(backend, from, burst);
    // What is refused was sent; the refusals fail calls of others, which are repeated.
    CHECK(result.sent == 60 && result.errors == 0);
    CHECK(receiveAll(backend, to, 40) == burst.addressedTo(open));
    const auto refusals = backend.refusals(from.fd());
    CHECK(std::ranges::all_of(refusals, [&](const Address& a) { return a == nobody; }));
  }
}

// Nothing can be sent to port 0.
void testUnsendable(UdpBackend& backend) {
  const Socket from(backend, kLoopback);
  const Socket to(backend, kLoopback);
  const Address open = at(kLoopback, to.port());
  const Address unsendable = at(kLoopback, 0);
  const Burst burst = Burst().add(open, 80, 9).add(unsendable, 80, 5).add(open, 80, 9).add(unsendable, 9);
  const auto result = sendAll(backend, from, burst);
  CHECK(result.done == 24 && result.sent == 18 && result.errors == 6);
  CHECK(receiveAll(backend, to, 18) == burst.addressedTo(open));
}

void testTruncation(const char* name) {
  const auto backend = makeUdpBackend(name, 2048);
  const Socket from(*backend, kLoopback);
  const Socket to(*backend, kLoopback);
  const Burst burst = Burst().add(at(kLoopback, to.port()), 2049, 3).add(at(kLoopback, to.port()), 2048, 3);
  sendAll(*backend, from, burst);
  std::vector<bool> truncated;
  while (truncated.size() < 6 && isReadable(to.fd())) {
    for (const auto& datagram : backend->receive(to.fd()).datagrams) {
      truncated.push_back(datagram.truncated);
    }
  }
  CHECK((truncated == std::vector<bool>{true, true, true, false, false, false}));
}

void testBackend(const char* name) {
  const auto backend = makeUdpBackend(name, kLongestDatagram);
  testRuns(*backend, kLoopback, kLoopback);
  testRuns(*backend, kLoopback6, kLoopback6);
  testRuns(*backend, kAny6, kLoopback);
  testRefused(*backend);
  testUnsendable(*backend);
  testTruncation(name);
}

// --- what only Linux does

#if defined(__linux__)

struct Message {
  size_t bytes;
  size_t segmentBytes;  // 0: one datagram

  bool operator==(const Message&) const = default;
};

// The messages as the kernel keeps them, `total` bytes of them, in a socket that takes joined ones.
std::vector<Message> messagesIn(const Socket& socket, size_t total) {
  std::vector<Message> all;
  std::vector<uint8_t> buffer(kLongestDatagram);
  while (total > 0 && isReadable(socket.fd())) {
    alignas(cmsghdr) uint8_t control[256];
    iovec vector{buffer.data(), buffer.size()};
    msghdr header{};
    header.msg_iov = &vector;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    const ssize_t bytes = recvmsg(socket.fd(), &header, MSG_DONTWAIT);
    if (bytes < 0) break;
    int segmentBytes = 0;
    for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
      if (c->cmsg_level != IPPROTO_UDP || c->cmsg_type != kUdpGro) continue;
      std::memcpy(&segmentBytes, CMSG_DATA(c), sizeof segmentBytes);
    }
    all.push_back({static_cast<size_t>(bytes), static_cast<size_t>(segmentBytes)});
    total -= std::min(total, all.back().bytes);
  }
  return all;
}

using Messages = std::vector<Message>;

void testRunsAreMessages() {
  const auto backend = makeUdpBackend("linux", kLongestDatagram);
  const Socket from(*backend, kLoopback);
  const Socket to(*backend, kLoopback);
  const Address a = at(kLoopback, to.port());
  const auto sent = [&](const Burst& burst) {
    sendAll(*backend, from, burst);
    return messagesIn(to, burst.bytes());
  };
  CHECK((sent(Burst().add(a, 100)) == Messages{{100, 0}}));
  CHECK((sent(Burst().add(a, 100, 64)) == Messages{{6400, 100}}));
  CHECK((sent(Burst().add(a, 100, 5).add(a, 60).add(a, 100, 2)) == Messages{{560, 100}, {200, 100}}));
  CHECK((sent(Burst().add(a, 60).add(a, 100)) == Messages{{60, 0}, {100, 0}}));
  // 46 of them are the most below 64 KiB.
  CHECK((sent(Burst().add(a, 1400, 64)) == Messages{{46 * 1400, 1400}, {18 * 1400, 1400}}));
}

// The kernel cuts nothing for a socket that sends no checksums, as for a route or a device that cannot.
void testRefusedRunsGoOneByOne() {
  const auto backend = makeUdpBackend("linux", kLongestDatagram);
  const Socket from(*backend, kLoopback);
  const Socket other(*backend, kLoopback);
  const Socket to(*backend, kLoopback);
  const Address a = at(kLoopback, to.port());
  const Burst burst = Burst().add(a, 70).add(a, 100, 20).add(a, 30);
  const Burst pair = Burst().add(a, 100, 2);
  const auto disableChecksums = [&](int value) {
    CHECK(setsockopt(from.fd(), SOL_SOCKET, SO_NO_CHECK, &value, sizeof value) == 0);
  };
  disableChecksums(1);
  const auto result = sendAll(*backend, from, burst);
  CHECK(result.sent == 22 && result.errors == 0 && result.refused == 0);
  CHECK(receiveAll(*backend, to, 22) == burst.addressedTo(a));
  // For good, and for that socket alone.
  disableChecksums(0);
  sendAll(*backend, from, pair);
  CHECK((messagesIn(to, 200) == Messages{{100, 0}, {100, 0}}));
  sendAll(*backend, other, pair);
  CHECK((messagesIn(to, 200) == Messages{{200, 100}}));
}

void testUnsendableRunsTeachNothing() {
  const auto backend = makeUdpBackend("linux", kLongestDatagram);
  const Socket from(*backend, kLoopback);
  const Socket to(*backend, kLoopback);
  const Address a = at(kLoopback, to.port());
  const Burst burst = Burst().add(at(kLoopback, 0), 100, 5).add(a, 100);
  CHECK(sendAll(*backend, from, burst).errors == 5);
  CHECK((messagesIn(to, 100) == Messages{{100, 0}}));
  sendAll(*backend, from, Burst().add(a, 100, 2));
  CHECK((messagesIn(to, 200) == Messages{{200, 100}}));
}

void testRefusedRunIsNamed() {
  const auto backend = makeUdpBackend("linux", kLongestDatagram);
  const Socket from(*backend, kLoopback);
  Address nobody;
  {
    const Socket closed(*backend, kLoopback);
    nobody = at(kLoopback, closed.port());
  }
  CHECK(sendAll(*backend, from, Burst().add(nobody, 100, 30)).sent == 30);
  pollfd polled{from.fd(), 0, 0};
  CHECK(poll(&polled, 1, kPatienceMs) == 1);
  const auto refusals = backend->refusals(from.fd());
  CHECK(!refusals.empty() && refusals[0] == nobody);
}

// One socket's turn stays short however much each of its messages holds.
void testJoinedBatchesAreBounded() {
  const auto backend = makeUdpBackend("linux", kLongestDatagram);
  const Socket from(*backend, kLoopback);
  const Socket to(*backend, kLoopback);
  const Burst burst = Burst().add(at(kLoopback, to.port()), 32, 12 * kBatch);
  sendAll(*backend, from, burst);
  size_t total = 0;
  size_t turns = 0;
  for (bool isDrained = false; !isDrained && isReadable(to.fd()); turns++) {
    const auto received = backend->receive(to.fd());
    CHECK(received.datagrams.size() < 9 * kBatch);
    total += received.datagrams.size();
    isDrained = received.isDrained;
  }
  CHECK(total == 12 * kBatch);
  CHECK(turns > 1);
}

void testLinux() {
  testBackend("linux");
  testRunsAreMessages();
  testRefusedRunsGoOneByOne();
  testUnsendableRunsTeachNothing();
  testRefusedRunIsNamed();
  testJoinedBatchesAreBounded();
}

#else

void testLinux() {}

#endif

}  // namespace

int main() {
  testBackend("posix");
  testLinux();
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
