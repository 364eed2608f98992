#include "udp_linux_send.h"

#include <algorithm>
#include <cerrno>

#include "udp_socket.h"

namespace tattler {

namespace {

constexpr int kUdpSegment = 103;  // UDP_SEGMENT, which older headers lack
// What every kernel with the option takes.
constexpr size_t kMostSegments = 64;
// The length fields of IP and UDP count all segments, and the headers of IPv6.
constexpr size_t kMostRunBytes = 65535 - 40 - 8;

// How many of the first datagrams the kernel can cut out of one piece: side by side in memory, to
// one destination and of one size; the last may be shorter.
size_t runLength(std::span<const OutgoingDatagram> datagrams) {
  const OutgoingDatagram& first = datagrams[0];
  const size_t most = std::min({datagrams.size(), kMostSegments,
                                kMostRunBytes / std::max<size_t>(first.bytes.size(), 1)});
  size_t length = 1;
  while (length < most) {
    const Bytes before = datagrams[length - 1].bytes;
    const OutgoingDatagram& next = datagrams[length];
    if (before.size() < first.bytes.size() || next.bytes.size() > first.bytes.size() ||
        next.bytes.empty() || next.bytes.data() != before.data() + before.size() ||
        next.to != first.to) {
      break;
    }
    length++;
  }
  return length;
}

// A kernel that does not know the option ignores the control message and would send the whole run
// as one datagram, so it is asked first.
bool knowsSegments(int fd) {
  const int none = 0;
  return setsockopt(fd, IPPROTO_UDP, kUdpSegment, &none, sizeof none) == 0;
}

}  // namespace

LinuxSender::LinuxSender() {
  for (Control& control : controls_) {
    cmsghdr header{};
    header.cmsg_level = IPPROTO_UDP;
    header.cmsg_type = kUdpSegment;
    header.cmsg_len = CMSG_LEN(sizeof(uint16_t));
    std::memcpy(control.bytes, &header, sizeof header);
  }
}

void LinuxSender::add(int fd) {
  const auto index = static_cast<size_t>(fd);
  if (index >= sockets_.size()) sockets_.resize(index + 1);
  sockets_[index] = {familyOf(fd), knowsSegments(fd)};
}

UdpBackend::SendResult LinuxSender::send(int fd, std::span<const OutgoingDatagram> datagrams) {
  Call call{sockets_[static_cast<size_t>(fd)], datagrams.first(std::min(datagrams.size(), kBatch))};
  prepare(call.socket.family, call.datagrams, call.socket.cuts);
  while (call.next < messages_) {
    const int sent = sendmmsg(fd, outgoing_ + call.next,
                              static_cast<unsigned>(messages_ - call.next), MSG_DONTWAIT);
    if (sent > 0) {
      noteSent(call, static_cast<size_t>(sent));
    } else if (!noteFailure(call, errno)) {
      break;
    }
  }
  return call.result;
}

void LinuxSender::noteSent(Call& call, size_t messages) {
  // One by one they go: it is the route or the device that does not cut.
  if (call.isRunRefused) call.socket.cuts = false;
  call.isRunRefused = false;
  call.attempts = 0;
  for (const size_t end = call.next + messages; call.next < end; call.next++) {
    call.result.done += runs_[call.next];
    call.result.sent += runs_[call.next];
  }
}

bool LinuxSender::noteFailure(Call& call, int error) {
  if (error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS) return false;
  // A pending refusal of an earlier datagram fails this call once, whoever it is for: try again.
  const bool isPassing = error == ECONNREFUSED || error == EINTR;
  if (error == ECONNREFUSED) call.result.refused++;
  if (isPassing && ++call.attempts < 3) return true;
  call.attempts = 0;
  call.isRunRefused = runs_[call.next] > 1 && !isPassing;
  if (runs_[call.next] > 1) {
    prepare(call.socket.family, call.datagrams.subspan(call.result.done), false);
    call.next = 0;
    return true;
  }
  call.result.errors++;
  call.result.done++;
  call.next++;
  return true;
}

void LinuxSender::prepare(int family, std::span<const OutgoingDatagram> datagrams, bool cuts) {
  messages_ = 0;
  while (!datagrams.empty()) {
    const size_t length = cuts ? runLength(datagrams) : 1;
    prepareMessage(family, datagrams.first(length));
    datagrams = datagrams.subspan(length);
  }
}

void LinuxSender::prepareMessage(int family, std::span<const OutgoingDatagram> run) {
  const size_t at = messages_++;
  const Bytes first = run.front().bytes;
  const Bytes last = run.back().bytes;
  runs_[at] = run.size();
  vectors_[at] = {const_cast<uint8_t*>(first.data()),
                  static_cast<size_t>(last.data() + last.size() - first.data())};
  msghdr& header = outgoing_[at].msg_hdr;
  header = {};
  header.msg_namelen = toSockaddr(run.front().to, family, destinations_[at]);
  header.msg_name = &destinations_[at];
  header.msg_iov = &vectors_[at];
  header.msg_iovlen = 1;
  if (run.size() == 1) return;
  const auto segmentBytes = static_cast<uint16_t>(first.size());
  header.msg_control = controls_[at].bytes;
  header.msg_controllen = sizeof controls_[at].bytes;
  std::memcpy(CMSG_DATA(reinterpret_cast<cmsghdr*>(controls_[at].bytes)), &segmentBytes,
              sizeof segmentBytes);
}

}  // namespace tattler
