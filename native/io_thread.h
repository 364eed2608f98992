// The thread between the sockets and JavaScript: receive, answer, transmit, wake.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "endpoint.h"
#include "udp.h"

namespace tattler {

class IoThread {
 public:
  // `wakeJs` is called on the I/O thread, at most once until noteDrain().
  IoThread(std::unique_ptr<UdpBackend> backend, const Interner& interner, ReceiveRing& ring,
           TransmitRing& transmit, CipherCache& ciphers, std::function<void()> wakeJs);
  // Stops and joins. Every endpoint must have been removed.
  ~IoThread();

  // --- JS thread

  OpenedSocket openSocket(const Address& bind) { return backend_->open(bind); }
  void add(Endpoint* endpoint, int fd);
  // Sends what the endpoint still has in the ring, closes its socket and forgets it, then returns.
  void remove(const Endpoint* endpoint);
  // Lets the thread see what was pushed to the transmit ring.
  void flush();
  void requestDrain();
  double drainedThroughMs() const { return drainedThroughMs_.load(std::memory_order_acquire); }
  // JS is about to read the ring.
  void noteDrain() { wakePending_.store(false, std::memory_order_seq_cst); }

 private:
  struct Served {
    Endpoint* endpoint = nullptr;
    int fd = -1;
  };
  struct Command {
    enum class Kind { add, remove } kind;
    Endpoint* endpoint;
    int fd;
  };
  // Sealed datagrams of one endpoint on their way to one system call.
  struct Batch {
    explicit Batch(size_t bytes) : arena(new uint8_t[bytes]), capacity(bytes) {}
    bool hasRoom(size_t bytes) const { return count < kBatch && used + bytes <= capacity; }
    std::unique_ptr<uint8_t[]> arena;
    size_t capacity;
    size_t used = 0;
    size_t count = 0;
    OutgoingDatagram datagrams[kBatch];
  };

  void run();
  int sleepTimeoutMs();
  bool hasWork() const;
  void obey();
  void obeyOne(const Command& command);
  void post(Command command);

  // True when every ready socket was emptied.
  bool receiveReady(std::span<const UdpBackend::Ready> ready);
  bool receiveFrom(const Served& served);
  void answer(const Served& served, const Address& to, PendingAck ack);
  void flushAnswers(const Served& served);
  bool isStalled(const Endpoint& endpoint, double nowMs) const;
  void readRefusals(const Served& served);

  // Returns whether the transmit ring is empty afterwards.
  bool transmitAll();
  // Sends the run of entries from `cursor` on that share an endpoint; moves the cursor past what was
  // taken care of. False when the socket's buffer is full.
  bool transmitRun(uint64_t& cursor);
  // Seals entries of one endpoint into outgoing_; ends[i] is where the ring goes on after the i-th.
  void gather(uint64_t& begin, Endpoint& endpoint, uint64_t* ends);
  void countSent(Endpoint& endpoint, const Batch& batch, const UdpBackend::SendResult& result);
  Served& servedAt(uint32_t index);
  void wake();

  std::unique_ptr<UdpBackend> backend_;
  ReceiveRing& ring_;
  TransmitRing& transmit_;
  CipherCache& ciphers_;
  std::function<void()> wakeJs_;
  Composer composer_;  // for acks; never touches the interner
  Batch outgoing_;
  Batch answers_;
  std::vector<Served> served_;  // by endpoint index
  Served nobody_;
  double blockedSinceMs_ = 0;

  std::mutex mutex_;
  std::condition_variable obeyed_;
  std::vector<Command> commands_;
  uint64_t posted_ = 0;
  uint64_t done_ = 0;

  std::atomic<bool> sleeping_{false};
  std::atomic<bool> hasCommands_{false};
  std::atomic<bool> stopping_{false};
  std::atomic<bool> drainRequested_{false};
  std::atomic<bool> wakePending_{false};
  std::atomic<double> wokenAtMs_{0};
  std::atomic<double> drainedThroughMs_{0};
  std::thread thread_;
};

}  // namespace tattler
