// The contract of udp.h with calls that every POSIX system has: poll, recvfrom, sendto, a pipe.
// It has no error queue, so refusals() stays empty, and no receive timestamps.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>

#include "udp_socket.h"

namespace tattler {

namespace {

class PosixBackend final : public UdpBackend {
 public:
  explicit PosixBackend(size_t maxDatagramBytes)
      : slotBytes_(maxDatagramBytes + 1), buffer_(new uint8_t[kBatch * slotBytes_]) {
    if (::pipe(pipe_) == 0) {
      for (const int fd : pipe_) {
        fcntl(fd, F_SETFL, O_NONBLOCK);
        fcntl(fd, F_SETFD, FD_CLOEXEC);
      }
    }
    polled_.push_back({pipe_[0], POLLIN, 0});
    tokens_.push_back(0);
  }

  ~PosixBackend() override {
    ::close(pipe_[0]);
    ::close(pipe_[1]);
  }

  OpenedSocket open(const Address& bind) override { return openDatagramSocket(bind); }
  void closeSocket(int fd) override { ::close(fd); }

  bool watch(int fd, uint32_t token) override {
    polled_.push_back({fd, POLLIN, 0});
    tokens_.push_back(token);
    return true;
  }

  void unwatch(int fd) override {
    for (size_t i = 1; i < polled_.size(); i++) {
      if (polled_[i].fd != fd) continue;
      polled_[i] = polled_.back();
      tokens_[i] = tokens_.back();
      polled_.pop_back();
      tokens_.pop_back();
      return;
    }
  }

  std::span<const Ready> wait(int timeoutMs) override {
    ready_.clear();
    if (::poll(polled_.data(), static_cast<nfds_t>(polled_.size()), timeoutMs) <= 0) return ready_;
    if (polled_[0].revents != 0) drainPipe();
    for (size_t i = 1; i < polled_.size(); i++) {
      const short events = polled_[i].revents;
      if (events != 0) ready_.push_back({tokens_[i], true, (events & POLLERR) != 0});
    }
    return ready_;
  }

  void wake() override {
    const char byte = 0;
    // A full pipe wakes as well.
    [[maybe_unused]] const ssize_t written = ::write(pipe_[1], &byte, 1);
  }

  Received receive(int fd) override {
    received_.clear();
    while (received_.size() < kBatch) {
      sockaddr_storage from{};
      socklen_t fromSize = sizeof from;
      uint8_t* slot = buffer_.get() + received_.size() * slotBytes_;
      const ssize_t bytes = ::recvfrom(fd, slot, slotBytes_, 0, reinterpret_cast<sockaddr*>(&from),
                                       &fromSize);
      if (bytes < 0 && (errno == EINTR || errno == ECONNREFUSED)) continue;
      if (bytes < 0) break;
      const auto size = static_cast<size_t>(bytes);
      received_.push_back({fromSockaddr(from), {slot, size}, size == slotBytes_, 0});
    }
    return {received_, received_.size() < kBatch};
  }

  SendResult send(int fd, std::span<const OutgoingDatagram> datagrams) override {
    SendResult result;
    const int family = familyOf(fd);
    for (const OutgoingDatagram& datagram : datagrams) {
      if (!sendOne(fd, family, datagram, result)) break;
      result.done++;
    }
    return result;
  }

  std::span<const Address> refusals(int) override { return {}; }

 private:
  bool sendOne(int fd, int family, const OutgoingDatagram& datagram, SendResult& result) {
    sockaddr_storage to{};
    const socklen_t size = toSockaddr(datagram.to, family, to);
    // A pending refusal of an earlier datagram fails this call once, whoever it is for: try again.
    for (int attempt = 0; attempt < 3; attempt++) {
      if (::sendto(fd, datagram.bytes.data(), datagram.bytes.size(), 0,
                   reinterpret_cast<sockaddr*>(&to), size) >= 0) {
        result.sent++;
        return true;
      }
      if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS) return false;
      if (errno == ECONNREFUSED) {
        result.refused++;
      } else if (errno != EINTR) {
        break;
      }
    }
    result.errors++;
    return true;
  }

  void drainPipe() {
    char bytes[256];
    while (::read(pipe_[0], bytes, sizeof bytes) > 0) {
    }
  }

  size_t slotBytes_;
  std::unique_ptr<uint8_t[]> buffer_;
  int pipe_[2] = {-1, -1};
  std::vector<pollfd> polled_;
  std::vector<uint32_t> tokens_;
  std::vector<Ready> ready_;
  std::vector<ReceivedDatagram> received_;
};

}  // namespace

std::unique_ptr<UdpBackend> makePosixBackend(size_t maxDatagramBytes) {
  return std::make_unique<PosixBackend>(maxDatagramBytes);
}

std::unique_ptr<UdpBackend> makeUdpBackend(const std::string& name, size_t maxDatagramBytes) {
#if defined(__linux__)
  if (name == "linux") return makeLinuxBackend(maxDatagramBytes);
#endif
  if (name == "posix") return makePosixBackend(maxDatagramBytes);
  return nullptr;
}

}  // namespace tattler
