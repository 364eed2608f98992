// A datagram is header | body | trailer. The header travels in the clear and is authenticated;
// the body is one FlatBuffer Packet; the trailer is the GCM tag, or a CRC-32C without keys.
#pragma once

#include <optional>
#include <vector>

#include "broadcast_queue.h"
#include "gossip_generated.h"
#include "interner.h"
#include "types.h"

namespace tattler {

constexpr size_t kHeaderBytes = 24;
constexpr size_t kChecksumBytes = 4;
constexpr uint8_t kMagic = 0x74;  // 't'
constexpr uint8_t kVersion = 1;

constexpr uint8_t kFlagSealed = 1;
constexpr uint8_t kFlagChecksum = 2;
constexpr uint8_t kFlagUrgent = 4;  // reserved for news that is forwarded at once
constexpr uint8_t kKnownFlags = kFlagSealed | kFlagChecksum | kFlagUrgent;

struct Header {
  uint8_t magic = kMagic;
  uint8_t version = kVersion;
  uint8_t flags = 0;
  uint8_t reserved = 0;
  uint32_t clusterTag = 0;
  uint32_t keyId = 0;
  uint64_t bootId = 0;
  uint32_t counter = 0;

  // Little endian on the wire, as FlatBuffers is.
  void write(uint8_t* out) const;
  static Header read(const uint8_t* in);
};

// What a record adds to a body at most; the queue fills datagrams by these.
size_t aliveWireBytes(size_t nameBytes, const Address& address, size_t metaBytes, bool hasVersions);
size_t messageWireBytes(size_t payloadBytes);
constexpr size_t kAccusationWireBytes = sizeof(wire::Accusation);
// What a body usually takes beside its records: root, Packet table with its vtable, vector headers,
// and one vtable for each table type.
constexpr size_t kEnvelopeWireBytes = 104;
// And what it takes beyond that when it has messages and news of members: our messages and those of
// others are tables of two shapes, alives with and without metadata or versions are of four.
constexpr size_t kMixedWireBytes = 56;

// Composes one body at a time.
class Composer {
 public:
  explicit Composer(const Interner& interner) : interner_(interner), builder_(2048) {}

  // Forgets the last body.
  void start(MemberId source, uint64_t digest);

  void ping(MemberId target, uint32_t seq) { ping_ = wire::Ping(target, seq); }
  // `payload` must last until finish().
  void ack(uint32_t seq, Bytes payload) {
    ackSeq_ = seq;
    ackPayload_ = payload;
  }
  void nack(uint32_t seq) { nack_ = wire::Nack(seq); }
  void pingRequest(MemberId target, const Address& address, uint32_t seq) {
    request_ = Request{target, address, seq};
  }
  void suspect(const wire::Accusation& accusation) { suspects_.push_back(accusation); }
  void message(MemberId origin, uint64_t sequence, bool direct, Bytes payload, uint8_t hops = 0);
  // Interner's thread only.
  void add(const Broadcast& record);

  // Builds the body.
  Bytes finish();
  // Builds the body of probes topped up from the queue, `budget` bytes at most, without the records
  // that were added. Interner's thread only.
  Bytes finish(BroadcastQueue& queue, size_t budget, size_t& records);
  // The same with the records that wait to be forwarded at once, which count as sent `sends` times.
  Bytes finishUrgent(BroadcastQueue& queue, size_t budget, uint32_t sends, size_t& records);

 private:
  struct Request {
    MemberId target;
    Address address;
    uint32_t seq;
  };

  size_t fixedBytes() const;
  Bytes buildWith(std::span<const Broadcast* const> picks, size_t budget, size_t& records);
  void forgetRecords();
  void addAlive(const Content& content, uint32_t incarnation);
  void addAccusation(const Broadcast& record);
  Bytes build();
  flatbuffers::Offset<wire::PingRequest> buildRequest();
  flatbuffers::Offset<wire::Ack> buildAck();

  const Interner& interner_;
  flatbuffers::FlatBufferBuilder builder_;
  MemberId source_ = 0;
  uint64_t digest_ = 0;
  std::optional<wire::Ping> ping_;
  std::optional<uint32_t> ackSeq_;
  Bytes ackPayload_;
  std::optional<wire::Nack> nack_;
  std::optional<Request> request_;
  std::vector<wire::Accusation> suspects_;
  std::vector<wire::Accusation> deaths_;
  std::vector<flatbuffers::Offset<wire::Alive>> alives_;
  std::vector<flatbuffers::Offset<wire::Message>> messages_;
};

wire::Address4 toWire4(const Address& address);
wire::Address6 toWire6(const Address& address);
// Exactly one of the two must be given; nothing otherwise, or for port 0.
std::optional<Address> fromWire(const wire::Address4* v4, const wire::Address6* v6);

}  // namespace tattler
