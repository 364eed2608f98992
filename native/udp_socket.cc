#include "udp_socket.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

namespace tattler {

namespace {

// Bursts of a whole cluster's gossip must fit while the I/O thread is busy (M-180 asks the same).
constexpr int kReceiveBufferBytes = 2 * 1024 * 1024;

uint32_t growReceiveBuffer(int fd) {
  for (int bytes = kReceiveBufferBytes; bytes >= 64 * 1024; bytes /= 2) {
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes) == 0) break;
  }
  int granted = 0;
  socklen_t size = sizeof granted;
  getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &granted, &size);
  return static_cast<uint32_t>(granted);
}

bool makeNonBlocking(int fd) {
  return fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0 &&
         fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

// "::" is every address of both families, whatever the system's default; any other is itself (E-23).
void chooseFamilies(int fd, const Address& bind) {
  const int v6Only = bind.ip == decltype(bind.ip){} ? 0 : 1;
  // Where the system has IPv6 only, that is what is left.
  setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6Only, sizeof v6Only);
}

OpenedSocket failed(int fd) {
  OpenedSocket result;
  result.error = errno;
  if (fd >= 0) ::close(fd);
  return result;
}

}  // namespace

socklen_t toSockaddr(const Address& address, int family, sockaddr_storage& out) {
  // An IPv6 address keeps its form on an IPv4 socket, so that the system refuses it: its last four
  // bytes are somebody else's IPv4 address.
  if (family == AF_INET && address.isV4()) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(out);
    v4 = {};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(address.port);
    std::memcpy(&v4.sin_addr, address.ip.data() + 12, 4);
    return sizeof v4;
  }
  auto& v6 = reinterpret_cast<sockaddr_in6&>(out);
  v6 = {};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(address.port);
  std::memcpy(&v6.sin6_addr, address.ip.data(), 16);
  return sizeof v6;
}

Address fromSockaddr(const sockaddr_storage& in) {
  Address address;
  if (in.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(in);
    address.ip = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    std::memcpy(address.ip.data() + 12, &v4.sin_addr, 4);
    address.port = ntohs(v4.sin_port);
  } else {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(in);
    std::memcpy(address.ip.data(), &v6.sin6_addr, 16);
    address.port = ntohs(v6.sin6_port);
  }
  return address;
}

OpenedSocket openDatagramSocket(const Address& bind) {
  const int family = bind.isV4() ? AF_INET : AF_INET6;
  const int fd = ::socket(family, SOCK_DGRAM, 0);
  if (fd < 0) return failed(fd);
  if (family == AF_INET6) chooseFamilies(fd, bind);
  sockaddr_storage storage{};
  const socklen_t size = toSockaddr(bind, family, storage);
  if (!makeNonBlocking(fd) || ::bind(fd, reinterpret_cast<sockaddr*>(&storage), size) != 0) {
    return failed(fd);
  }
  socklen_t nameSize = sizeof storage;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &nameSize) != 0) return failed(fd);
  return {fd, 0, fromSockaddr(storage).port, growReceiveBuffer(fd)};
}

int familyOf(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size);
  return storage.ss_family;
}

double monotonicMs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

}  // namespace tattler
