// Everything the endpoints of one Node environment share: rings, interner, I/O thread.
// Belongs to the JS thread that made it.
#pragma once

#include "io_thread.h"

namespace tattler {

class Hub {
 public:
  struct Options {
    std::string backend;  // "linux", "posix" or "manual"
    std::span<Record> ring;
    MutableBytes slab;
    uint64_t* counters = nullptr;
    double* heardMs = nullptr;
    uint32_t maxEndpoints = 0;
    size_t transmitBytes = 0;
    size_t maxDatagramBytes = 0;
    bool poison = false;
  };

  // Null when this platform has no such back end.
  static std::shared_ptr<Hub> make(const Options& options, std::function<void()> wakeJs);
  ~Hub();
  Hub(const Hub&) = delete;
  Hub& operator=(const Hub&) = delete;

  bool isManual() const { return io_ == nullptr; }
  ReceiveRing& ring() { return ring_; }
  Interner& interner() { return interner_; }

  double nowMs() const { return isManual() ? manualNowMs_ : monotonicMs(); }
  double drainedThroughMs() const { return isManual() ? manualNowMs_ : io_->drainedThroughMs(); }
  void requestDrain();
  void flush();
  void noteDrain();
  // Records ready to be read; what they repeat counts as heard.
  uint32_t poll();
  // Gives `count` records back, and with them the handles and endpoints that only they still named.
  void consume(uint32_t count);

  struct OpenResult {
    std::shared_ptr<Endpoint> endpoint;
    OpenedSocket socket;  // fd -1 and errno in `error` when it could not be bound
  };
  OpenResult open(EndpointConfig config);
  void close(Endpoint& endpoint);
  // Closes what is open and joins the I/O thread. Idempotent.
  void shutDown();
  bool isShutDown() const { return isShutDown_; }

  // --- manual hubs: the caller is the network

  bool deliver(uint32_t endpoint, AddressHandle source, Bytes datagram, double nowMs, bool answers);
  // Only acknowledges the ping in it, if there is one.
  bool answer(uint32_t endpoint, AddressHandle source, Bytes datagram);
  bool parse(uint32_t endpoint, Bytes body, double nowMs);
  struct Outgoing {
    uint32_t endpoint;
    AddressHandle to;
    size_t bytes;
  };
  std::optional<Outgoing> takeOutgoing(MutableBytes into);

 private:
  Hub(const Options& options, std::unique_ptr<UdpBackend> backend, std::function<void()> wakeJs);
  struct Freed {
    uint64_t ringPosition;
    uint32_t index;
  };
  std::optional<uint32_t> takeIndex();
  Endpoint* at(uint32_t index);

  Options options_;
  ReceiveRing ring_;
  TransmitRing transmit_;
  Interner interner_;
  Composer composer_;
  CipherCache ioCiphers_;
  CipherCache streamCiphers_;
  PingLimiter limiter_;  // I/O thread
  std::vector<AddressHandle> lastAddress_;  // I/O thread, by member
  std::unique_ptr<IoThread> io_;
  std::vector<std::shared_ptr<Endpoint>> endpoints_;
  // Indices are reused only when no record in the ring names the old endpoint.
  std::vector<Freed> freed_;
  uint64_t heardThrough_ = 0;  // ring position
  double manualNowMs_ = 0;
  bool isShutDown_ = false;
};

}  // namespace tattler
