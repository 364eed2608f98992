#include "envelope.h"

#include <openssl/rand.h>

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

uint32_t checksum(Bytes header, Bytes cluster, Bytes context, Bytes body) {
  return crc32c(crc32c(crc32c(crc32c(0, header), cluster), context), body);
}

uint64_t randomBootId() {
  uint64_t id = 0;
  RAND_bytes(reinterpret_cast<unsigned char*>(&id), sizeof id);
  return id;
}

// Cluster name and context as one piece of associated data; the common case needs no copy.
class Associated {
 public:
  Associated(Bytes cluster, Bytes context) : view_(cluster) {
    if (context.empty()) return;
    joined_.reserve(cluster.size() + context.size());
    joined_.insert(joined_.end(), cluster.begin(), cluster.end());
    joined_.insert(joined_.end(), context.begin(), context.end());
    view_ = joined_;
  }
  Bytes bytes() const { return view_; }

 private:
  std::vector<uint8_t> joined_;
  Bytes view_;
};

}  // namespace

Envelope::Envelope(std::string cluster, bool isSealing)
    : cluster_(std::move(cluster)),
      clusterTag_(blake2bPrefix(this->cluster())),
      isSealing_(isSealing),
      bootId_(randomBootId()) {}

bool Envelope::isOwn(uint64_t bootId) const {
  return bootId - bootId_ <= next_.load(std::memory_order_relaxed) >> 32;
}

size_t Envelope::seal(SealingView& view, Bytes body, Bytes context, uint8_t* out) {
  const KeyPtr* key = view.keys.primary();
  if (isSealing_ && !key) return 0;
  const uint64_t ticket = next_.fetch_add(1, std::memory_order_relaxed);
  Header header;
  header.flags = isSealing_ ? kFlagSealed : kFlagChecksum;
  header.clusterTag = clusterTag_;
  header.keyId = isSealing_ ? (*key)->id() : 0;
  header.bootId = bootId_ + (ticket >> 32);
  header.counter = static_cast<uint32_t>(ticket);
  header.write(out);
  const Bytes headerBytes{out, kHeaderBytes};
  uint8_t* sealed = out + kHeaderBytes;
  if (!isSealing_) {
    std::memcpy(sealed, body.data(), body.size());
    const uint32_t crc = checksum(headerBytes, cluster(), context, body);
    std::memcpy(sealed + body.size(), &crc, sizeof crc);
    return kHeaderBytes + body.size() + kChecksumBytes;
  }
  const Associated associated(cluster(), context);
  const Nonce nonce = nonceOf(out);
  if (!view.ciphers->seal(*key, nonce, headerBytes, associated.bytes(), body, sealed)) return 0;
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
  if (isSealing_ && !sealed) return wire::Counter_dropPlaintext;
  if (!isSealing_ && sealed) return wire::Counter_dropSealed;
  const size_t trailer = sealed ? kTagBytes : kChecksumBytes;
  if (bytes < kHeaderBytes + trailer) return wire::Counter_dropTruncated;
  return std::nullopt;
}

std::variant<Envelope::Opened, wire::Counter> Envelope::open(SealingView& view, Bytes datagram,
                                                             Bytes context, uint8_t* out) const {
  if (datagram.size() < kHeaderBytes) return wire::Counter_dropTruncated;
  const Header header = Header::read(datagram.data());
  if (const auto refusal = refusalOf(header, datagram.size())) return *refusal;
  const Bytes headerBytes = datagram.first(kHeaderBytes);
  const Bytes sealed = datagram.subspan(kHeaderBytes);
  if (!isSealing_) {
    const Bytes body = sealed.first(sealed.size() - kChecksumBytes);
    uint32_t expected = 0;
    std::memcpy(&expected, sealed.data() + body.size(), sizeof expected);
    if (checksum(headerBytes, cluster(), context, body) != expected) {
      return wire::Counter_dropChecksum;
    }
    std::memcpy(out, body.data(), body.size());
    return Opened{body.size(), header.bootId, header.counter};
  }
  const KeyPtr* key = view.keys.find(header.keyId);
  if (!key) return wire::Counter_dropUnknownKey;
  const Associated associated(cluster(), context);
  const Nonce nonce = nonceOf(datagram.data());
  if (!view.ciphers->open(*key, nonce, headerBytes, associated.bytes(), sealed, out)) {
    return wire::Counter_dropUnsealable;
  }
  return Opened{sealed.size() - kTagBytes, header.bootId, header.counter};
}

}  // namespace tattler
