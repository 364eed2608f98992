// What the I/O thread needs from the operating system. Two implementations keep this contract:
// udp_linux.cc with udp_linux_send.cc (epoll, recvmmsg, sendmmsg, UDP_SEGMENT, UDP_GRO, error
// queue) and udp_posix.cc (poll, recvmsg, sendmsg).
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "types.h"

namespace tattler {

constexpr size_t kBatch = 64;

struct ReceivedDatagram {
  Address source;
  Bytes bytes;
  bool truncated;
  double ageMs;  // how long it waited in the kernel; 0 when the system does not say
};

struct OutgoingDatagram {
  Address to;
  Bytes bytes;
};

struct OpenedSocket {
  int fd = -1;
  int error = 0;  // errno when fd is -1
  uint16_t port = 0;
  uint32_t receiveBufferBytes = 0;
};

class UdpBackend {
 public:
  struct Ready {
    uint32_t token;
    bool readable;
    bool failed;  // the error queue may hold refusals
  };

  virtual ~UdpBackend() = default;

  // A bound, non-blocking datagram socket.
  virtual OpenedSocket open(const Address& bind) = 0;
  virtual void closeSocket(int fd) = 0;

  virtual bool watch(int fd, uint32_t token) = 0;
  virtual void unwatch(int fd) = 0;
  // Sockets that are ready, all of them. Waits at most timeoutMs (-1: until wake()).
  virtual std::span<const Ready> wait(int timeoutMs) = 0;
  // Ends a wait(); any thread.
  virtual void wake() = 0;

  // Valid until the next call. More than kBatch only where the system joins datagrams of one source.
  struct Received {
    std::span<const ReceivedDatagram> datagrams;
    bool isDrained;  // the socket had no more
  };
  virtual Received receive(int fd) = 0;
  // How many of `datagrams` were taken care of (sent, or failed for good and counted in `errors` or
  // `refused`); fewer than given: the socket's buffer is full, try again later.
  struct SendResult {
    size_t done = 0;
    size_t sent = 0;
    size_t errors = 0;
    size_t refused = 0;
  };
  virtual SendResult send(int fd, std::span<const OutgoingDatagram> datagrams) = 0;
  // Destinations whose hosts said that nobody listens. Always empty where the system does not tell.
  virtual std::span<const Address> refusals(int fd) = 0;
};

// "linux" where there is one, else "posix". Null for a name this platform does not have.
std::unique_ptr<UdpBackend> makeUdpBackend(const std::string& name, size_t maxDatagramBytes);
std::unique_ptr<UdpBackend> makeLinuxBackend(size_t maxDatagramBytes);
std::unique_ptr<UdpBackend> makePosixBackend(size_t maxDatagramBytes);

double monotonicMs();

}  // namespace tattler
