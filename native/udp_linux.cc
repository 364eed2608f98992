// The contract of udp.h with what Linux adds: epoll, recvmmsg, receive timestamps and the error
// queue, which names the destination of a datagram that was refused (IP_RECVERR).
#include <ctime>

#include <linux/errqueue.h>
#include <netinet/ip_icmp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "udp_linux_send.h"
#include "udp_socket.h"

namespace tattler {

namespace {

constexpr size_t kControlBytes = 128;
constexpr size_t kReadyEvents = 8192;  // at least as many as sockets, so that wait() names them all
constexpr uint64_t kWakeToken = ~uint64_t{0};
constexpr int kUdpGro = 104;  // UDP_GRO, which older headers lack
// No message is longer, however many datagrams the kernel has joined in it.
constexpr size_t kMostMessageBytes = 65535;
// Messages for one call, each of which may hold many datagrams: 64 where the kernel joins them. One
// socket's turn thus ends with fewer than kBatch + 64 x kJoinedBatch datagrams.
constexpr size_t kJoinedBatch = kBatch / 8;

double realtimeMs() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

void enable(int fd, int level, int option) {
  const int on = 1;
  setsockopt(fd, level, option, &on, sizeof on);
}

// What the kernel says about a message beside its bytes.
struct Remarks {
  double ageMs = 0;
  size_t segmentBytes = 0;  // of each datagram in it but the last; 0: it is one datagram
};

double ageOf(const cmsghdr& stamp, double nowMs) {
  timespec at{};
  std::memcpy(&at, CMSG_DATA(&stamp), sizeof at);
  const double atMs = static_cast<double>(at.tv_sec) * 1e3 + static_cast<double>(at.tv_nsec) / 1e6;
  return std::max(nowMs - atMs, 0.0);
}

Remarks remarksOn(msghdr& message, double nowMs) {
  Remarks remarks;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
      remarks.ageMs = ageOf(*c, nowMs);
    } else if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == kUdpGro) {
      int bytes = 0;
      std::memcpy(&bytes, CMSG_DATA(c), sizeof bytes);
      remarks.segmentBytes = static_cast<size_t>(std::max(bytes, 0));
    }
  }
  return remarks;
}

bool saysNobodyListens(const cmsghdr& c) {
  const bool isError = (c.cmsg_level == SOL_IP && c.cmsg_type == IP_RECVERR) ||
                       (c.cmsg_level == SOL_IPV6 && c.cmsg_type == IPV6_RECVERR);
  if (!isError) return false;
  sock_extended_err error{};
  std::memcpy(&error, CMSG_DATA(&c), sizeof error);
  const bool isIcmp = error.ee_origin == SO_EE_ORIGIN_ICMP || error.ee_origin == SO_EE_ORIGIN_ICMP6;
  return isIcmp && error.ee_errno == ECONNREFUSED;
}

class LinuxBackend final : public UdpBackend {
 public:
  explicit LinuxBackend(size_t maxDatagramBytes)
      : slotBytes_(maxDatagramBytes),
        buffer_(new uint8_t[kBatch * slotBytes_]),
        epoll_(epoll_create1(EPOLL_CLOEXEC)),
        event_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
        events_(kReadyEvents) {
    epoll_event wakeEvent{};
    wakeEvent.events = EPOLLIN;
    wakeEvent.data.u64 = kWakeToken;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, event_, &wakeEvent);
    for (size_t i = 0; i < kBatch; i++) prepareReceive(i);
  }

  ~LinuxBackend() override {
    ::close(epoll_);
    ::close(event_);
  }

  OpenedSocket open(const Address& bind) override {
    const OpenedSocket opened = openDatagramSocket(bind);
    if (opened.fd < 0) return opened;
    enable(opened.fd, SOL_SOCKET, SO_TIMESTAMPNS);
    if (joins()) enable(opened.fd, IPPROTO_UDP, kUdpGro);
    // Both for IPv6: a socket for both families has IPv4 errors as well.
    enable(opened.fd, SOL_IP, IP_RECVERR);
    if (!bind.isV4()) enable(opened.fd, SOL_IPV6, IPV6_RECVERR);
    return opened;
  }

  void closeSocket(int fd) override { ::close(fd); }

  bool watch(int fd, uint32_t token) override {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = token;
    sender_.add(fd);
    return epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0;
  }

  void unwatch(int fd) override { epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr); }

  std::span<const Ready> wait(int timeoutMs) override {
    ready_.clear();
    const int count = epoll_wait(epoll_, events_.data(), static_cast<int>(kReadyEvents), timeoutMs);
    for (int i = 0; i < count; i++) {
      const epoll_event& event = events_[static_cast<size_t>(i)];
      if (event.data.u64 == kWakeToken) {
        uint64_t value = 0;
        [[maybe_unused]] const ssize_t bytes = ::read(event_, &value, sizeof value);
        continue;
      }
      ready_.push_back({static_cast<uint32_t>(event.data.u64), (event.events & EPOLLIN) != 0,
                        (event.events & EPOLLERR) != 0});
    }
    return ready_;
  }

  void wake() override {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t bytes = ::write(event_, &one, sizeof one);
  }

  Received receive(int fd) override {
    for (size_t i = 0; i < lastReceived_; i++) {
      // What the kernel changed; the rest stays as prepared.
      incoming_[i].msg_hdr.msg_namelen = sizeof sources_[i];
      incoming_[i].msg_hdr.msg_controllen = kControlBytes;
    }
    lastReceived_ = 0;
    received_.clear();
    const size_t most = joins() ? kJoinedBatch : kBatch;
    size_t count = most;
    while (count == most && received_.size() < kBatch) count = receiveSome(fd, most);
    return {received_, count < most};
  }

  SendResult send(int fd, std::span<const OutgoingDatagram> datagrams) override {
    return sender_.send(fd, datagrams);
  }

  std::span<const Address> refusals(int fd) override {
    refused_.clear();
    for (;;) {
      sockaddr_storage destination{};
      alignas(cmsghdr) uint8_t control[512];
      uint8_t payload[1];
      iovec vector{payload, sizeof payload};
      msghdr message{};
      message.msg_name = &destination;
      message.msg_namelen = sizeof destination;
      message.msg_iov = &vector;
      message.msg_iovlen = 1;
      message.msg_control = control;
      message.msg_controllen = sizeof control;
      if (recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) {
        if (errno == EINTR) continue;
        break;
      }
      for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
        if (saysNobodyListens(*c)) refused_.push_back(fromSockaddr(destination));
      }
    }
    return refused_;
  }

 private:
  void prepareReceive(size_t i) {
    receiveVectors_[i] = {buffer_.get() + i * slotBytes_, slotBytes_};
    msghdr& header = incoming_[i].msg_hdr;
    header = {};
    header.msg_name = &sources_[i];
    header.msg_namelen = sizeof sources_[i];
    header.msg_iov = &receiveVectors_[i];
    header.msg_iovlen = 1;
    header.msg_control = controls_[i];
    header.msg_controllen = kControlBytes;
  }

  // Only where no message that was joined from sound datagrams can be too long for a slot.
  bool joins() const { return slotBytes_ >= kMostMessageBytes; }

  // Appends the datagrams of at most so many messages, and returns how many messages there were.
  size_t receiveSome(int fd, size_t most) {
    mmsghdr* const first = incoming_ + lastReceived_;
    int count = 0;
    do {
      count = recvmmsg(fd, first, static_cast<unsigned>(most), MSG_DONTWAIT, nullptr);
    } while (count < 0 && (errno == EINTR || errno == ECONNREFUSED));
    if (count <= 0) return 0;
    const double nowMs = realtimeMs();
    for (int i = 0; i < count; i++) split(lastReceived_++, nowMs);
    return static_cast<size_t>(count);
  }

  // Appends the datagrams of one message.
  void split(size_t i, double nowMs) {
    msghdr& header = incoming_[i].msg_hdr;
    const Remarks remarks = remarksOn(header, nowMs);
    const bool isTruncated = (header.msg_flags & MSG_TRUNC) != 0;
    const Address source = fromSockaddr(sources_[i]);
    Bytes rest{buffer_.get() + i * slotBytes_, incoming_[i].msg_len};
    const size_t most = remarks.segmentBytes > 0 ? remarks.segmentBytes : rest.size();
    do {
      const Bytes datagram = rest.first(std::min(most, rest.size()));
      received_.push_back({source, datagram, isTruncated, remarks.ageMs});
      rest = rest.subspan(datagram.size());
    } while (!rest.empty());
  }

  size_t slotBytes_;
  std::unique_ptr<uint8_t[]> buffer_;
  int epoll_;
  int event_;
  std::vector<epoll_event> events_;
  std::vector<Ready> ready_;

  mmsghdr incoming_[kBatch]{};
  iovec receiveVectors_[kBatch]{};
  sockaddr_storage sources_[kBatch]{};
  alignas(cmsghdr) uint8_t controls_[kBatch][kControlBytes]{};
  std::vector<ReceivedDatagram> received_;
  size_t lastReceived_ = 0;

  LinuxSender sender_;
  std::vector<Address> refused_;
};

}  // namespace

std::unique_ptr<UdpBackend> makeLinuxBackend(size_t maxDatagramBytes) {
  return std::make_unique<LinuxBackend>(maxDatagramBytes);
}

}  // namespace tattler
