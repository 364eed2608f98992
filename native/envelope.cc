#include "envelope.h"

#include <openssl/rand.h>

#include <algorithm>
#include <cassert>

#include "crc32c.h"

namespace tattler {

namespace {

using Nonce = std::array<uint8_t, kNonceBytes>;

// Boot id and counter as they stand in the header: never the same twice under one key.
Nonce nonceOf(const uint8_t* header) {
  Nonce nonce;
  std::memcpy(nonce.data(), header + 12, nonce.size());
  return nonce;
}

uint64_t randomBootId() {
  uint64_t id = 0;
  RAND_bytes(reinterpret_cast<unsigned char*>(&id), sizeof id);
  return id;
}

// Header, cluster name and context in one piece, on the stack: one call of the cipher takes them.
class Associated {
 public:
  Associated(Bytes header, Bytes cluster, Bytes context) {
    append(header);
    append(cluster);
    append(context);
  }
  Bytes bytes() const { return {bytes_.data(), size_}; }

 private:
  void append(Bytes part) {
    assert(size_ + part.size() <= bytes_.size());
    std::ranges::copy(part, bytes_.begin() + static_cast<ptrdiff_t>(size_));
    size_ += part.size();
  }

  std::array<uint8_t, kHeaderBytes + Envelope::kMaxClusterBytes + Envelope::kMaxContextBytes> bytes_;
  size_t size_ = 0;
};

uint32_t checksum(const Associated& associated, Bytes body) {
  return crc32c(crc32c(0, associated.bytes()), body);
}

}  // namespace

Envelope::Envelope(const std::string& cluster, bool hasKeys)
    : cluster_(cluster.substr(0, kMaxClusterBytes)),
      clusterTag_(blake2bPrefix(this->cluster())),
      hasKeys_(hasKeys),
      seals_(hasKeys),
      acceptsPlain_(!hasKeys),
      bootId_(randomBootId()) {}

bool Envelope::isOwn(uint64_t bootId) const {
  return bootId - bootId_ <= next_.load(std::memory_order_relaxed) >> 32;
}

size_t Envelope::seal(SealingView& view, Bytes body, Bytes context, uint8_t* out) {
  if (context.size() > kMaxContextBytes) return 0;
  view.refresh();
  const bool isSealing = seals_.load(std::memory_order_relaxed);
  const KeyPtr* key = view.keys.primary();
  if (isSealing && !key) return 0;
  const uint64_t ticket = next_.fetch_add(1, std::memory_order_relaxed);
  Header header;
  header.flags = isSealing ? kFlagSealed : kFlagChecksum;
  header.clusterTag = clusterTag_;
  header.keyId = isSealing ? (*key)->id() : 0;
  header.bootId = bootId_ + (ticket >> 32);
  header.counter = static_cast<uint32_t>(ticket);
  header.write(out);
  const Associated associated({out, kHeaderBytes}, cluster(), context);
  uint8_t* sealed = out + kHeaderBytes;
  if (!isSealing) {
    std::memcpy(sealed, body.data(), body.size());
    const uint32_t crc = checksum(associated, body);
    std::memcpy(sealed + body.size(), &crc, sizeof crc);
    return kHeaderBytes + body.size() + kChecksumBytes;
  }
  if (!view.ciphers->seal(*key, nonceOf(out), associated.bytes(), body, sealed)) return 0;
  return kHeaderBytes + body.size() + kTagBytes;
}

std::optional<wire::Counter> Envelope::refusalOf(const Header& header, size_t bytes) const {
  if (header.magic != kMagic) return wire::Counter_dropMagic;
  if (header.version != kVersion) return wire::Counter_dropVersion;
  const bool sealed = (header.flags & kFlagSealed) != 0;
  const bool checksummed = (header.flags & kFlagChecksum) != 0;
  if ((header.flags & ~kKnownFlags) != 0 || sealed == checksummed) return wire::Counter_dropFlags;
  if (header.clusterTag != clusterTag_) return wire::Counter_dropCluster;
  if (isOwn(header.bootId)) return wire::Counter_dropOwn;
  if (!sealed && !acceptsPlain_.load(std::memory_order_relaxed)) {
    return wire::Counter_dropPlaintext;
  }
  if (sealed && !hasKeys_) return wire::Counter_dropSealed;
  const size_t trailer = sealed ? kTagBytes : kChecksumBytes;
  if (bytes < kHeaderBytes + trailer) return wire::Counter_dropTruncated;
  return std::nullopt;
}

std::variant<Envelope::Opened, wire::Counter> Envelope::open(SealingView& view, Bytes datagram,
                                                             Bytes context, uint8_t* out) const {
  if (datagram.size() < kHeaderBytes) return wire::Counter_dropTruncated;
  if (context.size() > kMaxContextBytes) return wire::Counter_dropUnsealable;
  const Header header = Header::read(datagram.data());
  if (const auto refusal = refusalOf(header, datagram.size())) return *refusal;
  const Associated associated(datagram.first(kHeaderBytes), cluster(), context);
  const Bytes sealed = datagram.subspan(kHeaderBytes);
  if ((header.flags & kFlagSealed) == 0) {
    const Bytes body = sealed.first(sealed.size() - kChecksumBytes);
    uint32_t expected = 0;
    std::memcpy(&expected, sealed.data() + body.size(), sizeof expected);
    if (checksum(associated, body) != expected) return wire::Counter_dropChecksum;
    std::memcpy(out, body.data(), body.size());
    return Opened{body.size(), header.bootId, header.counter};
  }
  view.refresh();
  const KeyPtr* key = view.keys.find(header.keyId);
  if (!key) return wire::Counter_dropUnknownKey;
  const Nonce nonce = nonceOf(datagram.data());
  if (!view.ciphers->open(*key, nonce, associated.bytes(), sealed, out)) {
    return wire::Counter_dropUnsealable;
  }
  return Opened{sealed.size() - kTagBytes, header.bootId, header.counter};
}

}  // namespace tattler
