// The contract of udp.h with what Linux adds: epoll, recvmmsg, sendmmsg, receive timestamps and the
// error queue, which names the destination of a datagram that was refused (IP_RECVERR).
#include <ctime>

#include <linux/errqueue.h>
#include <netinet/ip_icmp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <unordered_map>

#include "udp_socket.h"

namespace tattler {

namespace {

constexpr size_t kControlBytes = 128;
constexpr size_t kReadyEvents = 8192;  // at least as many as sockets, so that wait() names them all
constexpr uint64_t kWakeToken = ~uint64_t{0};

double realtimeMs() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

void enable(int fd, int level, int option) {
  const int on = 1;
  setsockopt(fd, level, option, &on, sizeof on);
}

double ageOf(msghdr& message, double nowMs) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS) continue;
    timespec at{};
    std::memcpy(&at, CMSG_DATA(c), sizeof at);
    const double atMs =
        static_cast<double>(at.tv_sec) * 1e3 + static_cast<double>(at.tv_nsec) / 1e6;
    return nowMs > atMs ? nowMs - atMs : 0;
  }
  return 0;
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
    families_[fd] = familyOf(fd);
    return epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0;
  }

  void unwatch(int fd) override {
    families_.erase(fd);
    epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
  }

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

  std::span<const ReceivedDatagram> receive(int fd) override {
    for (size_t i = 0; i < lastReceived_; i++) {
      // What the kernel changed; the rest stays as prepared.
      incoming_[i].msg_hdr.msg_namelen = sizeof sources_[i];
      incoming_[i].msg_hdr.msg_controllen = kControlBytes;
    }
    int count = 0;
    do {
      count = recvmmsg(fd, incoming_, kBatch, MSG_DONTWAIT, nullptr);
    } while (count < 0 && (errno == EINTR || errno == ECONNREFUSED));
    lastReceived_ = count > 0 ? static_cast<size_t>(count) : 0;
    const double nowMs = lastReceived_ > 0 ? realtimeMs() : 0;
    for (size_t i = 0; i < lastReceived_; i++) {
      msghdr& header = incoming_[i].msg_hdr;
      received_[i] = {fromSockaddr(sources_[i]),
                      {buffer_.get() + i * slotBytes_, incoming_[i].msg_len},
                      (header.msg_flags & MSG_TRUNC) != 0,
                      ageOf(header, nowMs)};
    }
    return {received_, lastReceived_};
  }

  SendResult send(int fd, std::span<const OutgoingDatagram> datagrams) override {
    SendResult result;
    const size_t count = std::min(datagrams.size(), kBatch);
    prepareSend(families_[fd], datagrams.first(count));
    int attempts = 0;
    while (result.done < count) {
      const int sent = sendmmsg(fd, outgoing_ + result.done,
                                static_cast<unsigned>(count - result.done), MSG_DONTWAIT);
      if (sent > 0) {
        result.done += static_cast<size_t>(sent);
        result.sent += static_cast<size_t>(sent);
        attempts = 0;
        continue;
      }
      if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS) break;
      // A pending refusal of an earlier datagram fails this call once, whoever it is for: try again.
      if (errno == ECONNREFUSED) result.refused++;
      if ((errno == ECONNREFUSED || errno == EINTR) && ++attempts < 3) continue;
      result.errors++;
      result.done++;
      attempts = 0;
    }
    return result;
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

  void prepareSend(int family, std::span<const OutgoingDatagram> datagrams) {
    for (size_t i = 0; i < datagrams.size(); i++) {
      const OutgoingDatagram& datagram = datagrams[i];
      sendVectors_[i] = {const_cast<uint8_t*>(datagram.bytes.data()), datagram.bytes.size()};
      msghdr& header = outgoing_[i].msg_hdr;
      header = {};
      header.msg_namelen = toSockaddr(datagram.to, family, destinations_[i]);
      header.msg_name = &destinations_[i];
      header.msg_iov = &sendVectors_[i];
      header.msg_iovlen = 1;
    }
  }

  size_t slotBytes_;
  std::unique_ptr<uint8_t[]> buffer_;
  int epoll_;
  int event_;
  std::vector<epoll_event> events_;
  std::vector<Ready> ready_;
  std::unordered_map<int, int> families_;

  mmsghdr incoming_[kBatch]{};
  iovec receiveVectors_[kBatch]{};
  sockaddr_storage sources_[kBatch]{};
  alignas(cmsghdr) uint8_t controls_[kBatch][kControlBytes]{};
  ReceivedDatagram received_[kBatch]{};
  size_t lastReceived_ = 0;

  mmsghdr outgoing_[kBatch]{};
  iovec sendVectors_[kBatch]{};
  sockaddr_storage destinations_[kBatch]{};
  std::vector<Address> refused_;
};

}  // namespace

std::unique_ptr<UdpBackend> makeLinuxBackend(size_t maxDatagramBytes) {
  return std::make_unique<LinuxBackend>(maxDatagramBytes);
}

}  // namespace tattler
