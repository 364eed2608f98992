// network HOSTS SEED: a network for the chaos tests, in a process. Every host is a network namespace of its own with
// one address, 10.77.0.1 and up; what one sends to another passes through here and is lost or delayed as told on
// stdin (no kernel module is needed for it, as netem would be):
//   loss FROM TO PERCENT    delay FROM TO MS JITTER_MS    count
// FROM and TO are hosts from 0 up, or *. Each line is answered by one, count by "passed lost". The namespaces have no
// names: nsenter --net=/proc/<our pid>/fd/<a number of our first line> enters one. They end with their last process.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <queue>
#include <random>
#include <sstream>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
constexpr uint32_t kNetwork = 0x0a4d0000;  // 10.77.0.0/24
constexpr size_t kMostBytes = 2048;
constexpr size_t kDestinationAt = 16;  // in an IPv4 header

struct Path {
  double lossPercent = 0;
  double delayMs = 0;
  double jitterMs = 0;
};

struct Late {
  Clock::time_point due;
  uint64_t order;
  int to;
  std::vector<uint8_t> bytes;
  bool operator<(const Late& other) const {
    return due != other.due ? due > other.due : order > other.order;
  }
};

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

int check(int result, const char* what) {
  if (result < 0) fail(what);
  return result;
}

sockaddr_in addressOf(uint32_t ip) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(ip);
  return address;
}

void setUp(int control, const char* device) {
  ifreq request{};
  std::strncpy(request.ifr_name, device, IFNAMSIZ - 1);
  check(ioctl(control, SIOCGIFFLAGS, &request), "SIOCGIFFLAGS");
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  check(ioctl(control, SIOCSIFFLAGS, &request), "SIOCSIFFLAGS");
}

void setAddress(int control, const char* device, unsigned long field, uint32_t ip) {
  ifreq request{};
  std::strncpy(request.ifr_name, device, IFNAMSIZ - 1);
  const sockaddr_in address = addressOf(ip);
  std::memcpy(&request.ifr_addr, &address, sizeof address);
  check(ioctl(control, field, &request), "an address");
}

struct Host {
  int tunnel;
  int name;  // a descriptor of its namespace
};

// Leaves this process in the new namespace; descriptors stay where they were made.
Host openHost(uint32_t index) {
  const char device[] = "gossip0";
  check(unshare(CLONE_NEWNET), "unshare");
  const int control = check(socket(AF_INET, SOCK_DGRAM, 0), "socket");
  setUp(control, "lo");
  const int tunnel = check(open("/dev/net/tun", O_RDWR | O_NONBLOCK), "/dev/net/tun");
  ifreq request{};
  std::strncpy(request.ifr_name, device, IFNAMSIZ - 1);
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  check(ioctl(tunnel, TUNSETIFF, &request), "TUNSETIFF");
  setAddress(control, device, SIOCSIFADDR, kNetwork + index + 1);
  setAddress(control, device, SIOCSIFNETMASK, 0xffffff00);
  setUp(control, device);
  close(control);
  return {tunnel, check(open("/proc/self/ns/net", O_RDONLY), "/proc/self/ns/net")};
}

class Network {
 public:
  Network(size_t hosts, uint64_t seed) : dice_(seed), paths_(hosts * hosts) {
    for (size_t i = 0; i < hosts; i++) hosts_.push_back(openHost(static_cast<uint32_t>(i)));
  }

  void introduce() const {
    for (const Host& host : hosts_) std::printf("%d ", host.name);
    std::printf("\n");
  }

  // Until the one who started us lets go.
  void run() {
    std::vector<pollfd> ready;
    for (const Host& host : hosts_) ready.push_back({host.tunnel, POLLIN, 0});
    ready.push_back({STDIN_FILENO, POLLIN, 0});
    for (;;) {
      if (poll(ready.data(), ready.size(), waitMs()) < 0 && errno != EINTR) fail("poll");
      deliverLate();
      for (size_t i = 0; i < hosts_.size(); i++) {
        if ((ready[i].revents & POLLIN) != 0) carry(i);
      }
      if (ready.back().revents != 0 && !obey()) return;
    }
  }

 private:
  int waitMs() const {
    if (late_.empty()) return -1;
    const auto left = late_.top().due - Clock::now();
    return left.count() <= 0 ? 0 : static_cast<int>(left / std::chrono::milliseconds(1)) + 1;
  }

  void carry(size_t from) {
    std::array<uint8_t, kMostBytes> packet;
    for (;;) {
      const ssize_t size = read(hosts_[from].tunnel, packet.data(), packet.size());
      if (size <= 0) return;
      if (size < 20 || packet[0] >> 4 != 4) continue;  // what IPv6 says by itself
      uint32_t destination;
      std::memcpy(&destination, packet.data() + kDestinationAt, sizeof destination);
      const size_t to = ntohl(destination) - kNetwork - 1;
      if (to < hosts_.size()) send(from, to, packet.data(), static_cast<size_t>(size));
    }
  }

  void send(size_t from, size_t to, const uint8_t* data, size_t size) {
    const Path& path = paths_[from * hosts_.size() + to];
    if (uniform(0, 100) < path.lossPercent) {
      lost_++;
      return;
    }
    passed_++;
    const int tunnel = hosts_[to].tunnel;
    if (path.delayMs <= 0) return put(tunnel, data, size);
    const double ms = path.delayMs + uniform(-path.jitterMs, path.jitterMs);
    const auto due = Clock::now() + std::chrono::microseconds(static_cast<int64_t>(ms * 1000));
    late_.push({due, order_++, tunnel, {data, data + size}});
  }

  void deliverLate() {
    for (; !late_.empty() && late_.top().due <= Clock::now(); late_.pop()) {
      put(late_.top().to, late_.top().bytes.data(), late_.top().bytes.size());
    }
  }

  static void put(int tunnel, const uint8_t* data, size_t size) {
    if (write(tunnel, data, size) < 0 && errno != EAGAIN && errno != EIO && errno != ENOBUFS) fail("write");
  }

  bool obey() {
    std::array<char, 4096> some;
    const ssize_t size = read(STDIN_FILENO, some.data(), some.size());
    if (size <= 0) return false;
    input_.append(some.data(), static_cast<size_t>(size));
    for (size_t end; (end = input_.find('\n')) != std::string::npos; input_.erase(0, end + 1)) {
      obeyLine(input_.substr(0, end));
    }
    return true;
  }

  void obeyLine(const std::string& line) {
    std::istringstream words(line);
    std::string verb, from, to;
    Path given;
    words >> verb;
    if (verb == "count") {
      std::printf("%lu %lu\n", passed_, lost_);
      return;
    }
    words >> from >> to;
    if (verb == "loss") words >> given.lossPercent;
    if (verb == "delay") words >> given.delayMs >> given.jitterMs;
    const bool isKnown = (verb == "loss" || verb == "delay") && !words.fail();
    if (isKnown) change(verb == "loss", from, to, given);
    std::printf(isKnown ? "done\n" : "what?\n");
  }

  void change(bool isLoss, const std::string& from, const std::string& to, const Path& given) {
    for (size_t i = 0; i < paths_.size(); i++) {
      const bool isFrom = from == "*" || from == std::to_string(i / hosts_.size());
      const bool isTo = to == "*" || to == std::to_string(i % hosts_.size());
      if (!isFrom || !isTo) continue;
      Path& path = paths_[i];
      if (isLoss) path.lossPercent = given.lossPercent;
      else path = {path.lossPercent, given.delayMs, given.jitterMs};
    }
  }

  double uniform(double from, double to) {
    return std::uniform_real_distribution<double>(from, to)(dice_);
  }

  std::mt19937_64 dice_;
  std::vector<Path> paths_;
  std::vector<Host> hosts_;
  std::priority_queue<Late> late_;
  std::string input_;
  uint64_t order_ = 0;
  uint64_t passed_ = 0;
  uint64_t lost_ = 0;
};

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) return 2;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  Network network(std::strtoul(arguments[1], nullptr, 10), std::strtoull(arguments[2], nullptr, 10));
  network.introduce();
  network.run();
}
