// Seals bodies into datagrams (and frames into stream chunks) and opens them again.
#pragma once

#include <string>
#include <variant>

#include "gossip_generated.h"
#include "keyring.h"
#include "packet.h"
#include "replay_window.h"

namespace tattler {

// What one thread needs to seal and open for one endpoint.
struct SealingView {
  KeyView keys;
  CipherCache* ciphers;

  // Before every use: a key that was removed is forgotten with the next packet.
  void refresh() {
    if (keys.refresh()) ciphers->purge();
  }
};

class Envelope {
 public:
  Envelope(const std::string& cluster, bool hasKeys);

  // The steps of a roll-out of encryption (M-188): with keys, plaintext may still be accepted and
  // still be sent. Any thread; without keys it changes nothing.
  void setEncryption(bool verifyIncoming, bool encryptOutgoing) {
    acceptsPlain_.store(!hasKeys_ || !verifyIncoming, std::memory_order_relaxed);
    seals_.store(hasKeys_ && encryptOutgoing, std::memory_order_relaxed);
  }

  static constexpr size_t kMaxClusterBytes = 255;
  static constexpr size_t kMaxContextBytes = 1024;
  static constexpr size_t kOverheadBytes = kHeaderBytes + kTagBytes;

  // Writes the datagram to `out`, which has room for body.size() + kOverheadBytes. `context` is
  // authenticated beside header and cluster name. Returns its size, 0 when there is no key to use.
  size_t seal(SealingView& view, Bytes body, Bytes context, uint8_t* out);

  struct Opened {
    size_t bodyBytes = 0;
    uint64_t bootId = 0;
    uint32_t counter = 0;
  };
  // Writes the body to `out`, which has room for `datagram`; or says why not.
  std::variant<Opened, wire::Counter> open(SealingView& view, Bytes datagram, Bytes context,
                                           uint8_t* out) const;

 private:
  std::optional<wire::Counter> refusalOf(const Header& header, size_t bytes) const;
  Bytes cluster() const {
    return {reinterpret_cast<const uint8_t*>(cluster_.data()), cluster_.size()};
  }
  bool isOwn(uint64_t bootId) const;

  std::string cluster_;
  uint32_t clusterTag_;
  bool hasKeys_;
  std::atomic<bool> seals_;
  std::atomic<bool> acceptsPlain_;
  uint64_t bootId_;
  // Lower half: the next counter. Upper half: how often it wrapped; each wrap takes a new boot id.
  std::atomic<uint64_t> next_{0};
};

}  // namespace tattler
