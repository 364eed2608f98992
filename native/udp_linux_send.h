// Sending for udp_linux.cc: sendmmsg, in which a run of datagrams to one destination is one message
// that the kernel cuts up itself (UDP_SEGMENT).
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include "udp.h"

namespace tattler {

class LinuxSender {
 public:
  LinuxSender();

  // Before the first send() of this socket.
  void add(int fd);
  // As UdpBackend::send().
  UdpBackend::SendResult send(int fd, std::span<const OutgoingDatagram> datagrams);

 private:
  struct Socket {
    int family = AF_UNSPEC;
    bool cuts = false;  // whether the kernel takes runs; false for good once a run was refused
  };
  // Room for one control message: the bytes of one segment.
  struct Control {
    alignas(cmsghdr) uint8_t bytes[CMSG_SPACE(sizeof(uint16_t))];
  };

  // Of send(), over as many system calls as it takes.
  struct Call {
    Socket& socket;
    std::span<const OutgoingDatagram> datagrams;
    UdpBackend::SendResult result{};
    size_t next = 0;  // message
    int attempts = 0;
    bool isRunRefused = false;  // the last failure was a run's, and its first datagram is next
  };

  void noteSent(Call& call, size_t messages);
  // False when the socket's buffer is full.
  bool noteFailure(Call& call, int error);
  // One message for each run when `cuts`, else for each datagram.
  void prepare(int family, std::span<const OutgoingDatagram> datagrams, bool cuts);
  void prepareMessage(int family, std::span<const OutgoingDatagram> run);

  std::vector<Socket> sockets_;  // by descriptor
  size_t messages_ = 0;
  mmsghdr outgoing_[kBatch]{};
  size_t runs_[kBatch]{};  // datagrams in each message
  iovec vectors_[kBatch]{};
  sockaddr_storage destinations_[kBatch]{};
  Control controls_[kBatch]{};
};

}  // namespace tattler
