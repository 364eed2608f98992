// One identity in a cluster: its socket, its envelope, its replay window and its broadcast queue.
// JavaScript composes and queues; the I/O thread seals, opens and answers. See native/README.md.
#pragma once

#include <atomic>

#include "ack_payload.h"
#include "allow_list.h"
#include "counters.h"
#include "envelope.h"
#include "packet_parser.h"
#include "ping_limiter.h"
#include "replay_window.h"
#include "transmit_ring.h"

namespace tattler {

struct EndpointConfig {
  Address bind;
  MemberHandle self = 0;
  MemberId selfId = 0;
  std::string cluster;
  std::shared_ptr<const Keyring> keyring;
  AllowList allow;
  double stallToleranceMs = 0;
  double pingsPerSecond = 0;
  size_t datagramBytes = 1400;
  uint32_t retransmitMult = 4;
  uint32_t queueRecords = 4096;
  double messageShare = 0.25;
  bool gossipFeedback = false;
  uint32_t urgentFanout = 0;
};

// What the endpoints of a hub share.
struct EndpointParts {
  Interner& interner;
  ReceiveRing& ring;
  TransmitRing& transmit;
  Composer& composer;          // JS thread
  CipherCache& ioCiphers;      // I/O thread
  CipherCache& streamCiphers;  // JS thread
  PingLimiter& limiter;        // I/O thread
  std::vector<AddressHandle>& lastAddress;  // I/O thread
};

// Whether the bytes are a sound wire::Frame.
bool isVerifiedFrame(Bytes frame);

class Endpoint {
 public:
  Endpoint(uint32_t index, EndpointConfig config, EndpointParts parts, Counters counters,
           double* heardMs);
  ~Endpoint();
  Endpoint(const Endpoint&) = delete;
  Endpoint& operator=(const Endpoint&) = delete;

  uint32_t index() const { return index_; }
  const EndpointConfig& config() const { return config_; }
  Counters& counters() { return counters_; }

  // --- JS thread: datagrams. False when the transmit ring is full or the handle is unknown.

  bool sendPing(AddressHandle to, MemberHandle target, uint32_t seq);
  bool sendAccusingPing(AddressHandle to, MemberHandle target, uint32_t seq, uint32_t incarnation,
                        uint8_t evidence);
  bool sendAck(AddressHandle to, uint32_t seq, bool isOwn);
  bool sendNack(AddressHandle to, uint32_t seq);
  bool sendPingRequest(AddressHandle to, MemberHandle target, AddressHandle address, uint32_t seq);
  // Records sent; 0: the queue is empty; -1: the transmit ring is full.
  int32_t sendGossip(AddressHandle to);
  // One datagram of the news that waits to be forwarded at once, to each of these. Records sent; 0:
  // none waits; -1: too much of what was sent before has not left yet.
  int32_t sendUrgent(std::span<const AddressHandle> targets);
  bool sendMessage(AddressHandle to, Bytes payload);
  // One record to one member, past the queue.
  bool tellAlive(AddressHandle to, MemberHandle subject, AddressHandle address,
                 uint32_t incarnation, Bytes meta, const std::optional<VersionBytes>& versions);
  bool tellDeath(AddressHandle to, MemberHandle subject, MemberHandle from, uint32_t incarnation,
                 uint8_t evidence);

  // --- JS thread: the broadcast queue.

  // `urgent`: a refutation, which sendUrgent() forwards; ordinary news waits for the tick.
  void queueAlive(MemberHandle subject, AddressHandle address, uint32_t incarnation, Bytes meta,
                  const std::optional<VersionBytes>& versions, bool urgent);
  void queueAccusation(RecordClass kind, MemberHandle subject, MemberHandle from,
                       uint32_t incarnation, uint8_t evidence, bool urgent);
  // `token` is reported when the record has ended; 0: nobody waits. `hops`: how many passed it on.
  bool queueMessage(MemberHandle origin, uint64_t sequence, Bytes payload, uint32_t token = 0,
                    uint8_t hops = 0);
  // Queues what this record of the ring describes; urgent news is forwarded by sendUrgent().
  void relay(const Record& record, bool urgent);
  // Somebody else told us this; it may be what we are telling.
  void noteHeard(const Record& record);
  BroadcastQueue& queue() { return queue_; }
  bool hasNews() const { return queue_.membershipDepth() + queue_.messageDepth() > 0; }
  size_t maxMessageBytes() const;
  void setDigest(uint64_t digest) { digest_.store(digest, std::memory_order_relaxed); }
  // False when it is longer than kMaxAckPayloadBytes.
  bool setAckPayload(Bytes payload) { return ackPayload_.set(payload); }
  void setEncryption(bool verifyIncoming, bool encryptOutgoing) {
    envelope_.setEncryption(verifyIncoming, encryptOutgoing);
  }

  // --- JS thread: stream chunks.

  static constexpr size_t kChunkOverheadBytes = Envelope::kOverheadBytes;
  size_t sealFrame(Bytes frame, Bytes context, uint8_t* out);
  std::variant<size_t, wire::Counter> openFrame(Bytes chunk, Bytes context, uint8_t* out);

  // --- I/O thread (or whoever stands in for it).

  // Opens, verifies and publishes one datagram. `stalled`: JS has not drained for stallToleranceMs.
  std::optional<PendingAck> receive(const Address& source, Bytes datagram, double receivedAtMs,
                                    bool stalled);
  // The ping in a datagram that receive() is given later: what the I/O thread of a node would answer
  // while its JavaScript stands still.
  std::optional<PendingAck> pingIn(Bytes datagram);
  // Verifies and publishes a plain body, as receive() does once it is opened.
  bool parseBody(Bytes body, double nowMs);
  // Publishes that `destination` refused a datagram of ours.
  void describeRefusal(const Address& destination, double nowMs);
  // A sealed datagram from a plain body; its size, 0 when there is no key. `out` has room.
  size_t sealDatagram(Bytes body, uint8_t* out);
  // The sealed ack to a ping.
  size_t sealAck(uint32_t seq, Composer& composer, uint8_t* out);

 private:
  size_t bodyBudget() const { return config_.datagramBytes - Envelope::kOverheadBytes; }
  Composer& startBody();
  bool transmit(AddressHandle to, Bytes body, bool urgent);
  bool transmitToppedUp(AddressHandle to);
  bool tell(AddressHandle to, const Broadcast& record);
  void push(Broadcast record);
  void publishQueueCounters();
  void relayAlive(const Record& record, bool urgent);
  void relayAccusation(const Record& record, bool urgent);
  const uint8_t* slabAt(uint32_t offset) const { return parts_.ring.slab().data() + offset; }

  uint32_t index_;
  EndpointConfig config_;
  EndpointParts parts_;
  Counters counters_;
  std::atomic_ref<double> heardMs_;
  Envelope envelope_;
  SealingView io_;
  SealingView streams_;
  ReplayWindow replay_;
  PacketParser parser_;
  std::atomic<uint64_t> digest_{0};
  AckPayload ackPayload_;
  BroadcastQueue queue_;
};

}  // namespace tattler
