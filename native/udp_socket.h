// What both back ends do alike: address conversion and socket set-up with plain POSIX calls.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include "udp.h"

namespace tattler {

socklen_t toSockaddr(const Address& address, int family, sockaddr_storage& out);
Address fromSockaddr(const sockaddr_storage& in);

// Creates and binds; fd is -1 with errno in `error` when that fails.
OpenedSocket openDatagramSocket(const Address& bind);
int familyOf(int fd);

}  // namespace tattler
