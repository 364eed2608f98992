// A clock that jumps, for LD_PRELOAD: what a process reads of the time differs from the truth by what stands in the
// file CHAOS_CLOCK, four 64-bit integers in nanoseconds: offset of the wall clock before a moment, offset after it,
// that moment in true time, offset of the monotonic clock. The kernel's time stamps on datagrams move with the wall
// clock, as they would if the machine's clock had jumped: those taken before the moment have the old time.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace {

struct Shift {
  int64_t wallBefore, wallAfter, at, monotonic;
};

constexpr int64_t kSecond = 1'000'000'000;
constexpr Shift kNone{};

const volatile Shift* openShift() {
  const char* path = getenv("CHAOS_CLOCK");
  const int file = path == nullptr ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return &kNone;
  void* mapped = mmap(nullptr, sizeof(Shift), PROT_READ, MAP_SHARED, file, 0);
  close(file);
  return mapped == MAP_FAILED ? &kNone : static_cast<const volatile Shift*>(mapped);
}

const volatile Shift& shift() {
  static const volatile Shift* const mapped = openShift();
  return *mapped;
}

template <typename F>
F next(const char* name) {
  return reinterpret_cast<F>(dlsym(RTLD_NEXT, name));
}

void add(timespec& time, int64_t offset) {
  const int64_t sum = time.tv_sec * kSecond + time.tv_nsec + offset;
  time.tv_sec = sum / kSecond;
  time.tv_nsec = sum % kSecond;
}

void shiftStamps(msghdr& message) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SO_TIMESTAMPNS) continue;
    timespec stamp;
    std::memcpy(&stamp, CMSG_DATA(c), sizeof stamp);
    const bool isAfter = stamp.tv_sec * kSecond + stamp.tv_nsec >= shift().at;
    add(stamp, isAfter ? shift().wallAfter : shift().wallBefore);
    std::memcpy(CMSG_DATA(c), &stamp, sizeof stamp);
  }
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* time) noexcept {
  static const auto real = next<int (*)(clockid_t, timespec*)>("clock_gettime");
  const int result = real(clock, time);
  if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) add(*time, shift().wallAfter);
  if (clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE || clock == CLOCK_BOOTTIME) {
    add(*time, shift().monotonic);
  }
  return result;
}

int gettimeofday(timeval* time, void*) noexcept {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  *time = {now.tv_sec, now.tv_nsec / 1000};
  return 0;
}

time_t time(time_t* out) noexcept {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out != nullptr) *out = now.tv_sec;
  return now.tv_sec;
}

int recvmmsg(int socket, mmsghdr* messages, unsigned count, int flags, timespec* timeout) {
  static const auto real = next<int (*)(int, mmsghdr*, unsigned, int, timespec*)>("recvmmsg");
  const int received = real(socket, messages, count, flags, timeout);
  for (int i = 0; i < received; i++) shiftStamps(messages[i].msg_hdr);
  return received;
}
}
