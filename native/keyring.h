// Keys, and AES-GCM through the OpenSSL that Node ships.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

#include "locked_page.h"
#include "types.h"

struct evp_cipher_ctx_st;

namespace tattler {

// First four bytes of BLAKE2b(key), so that a receiver needs one look-up and no trial decryption.
using KeyId = uint32_t;

constexpr size_t kTagBytes = 16;
constexpr size_t kNonceBytes = 12;

uint32_t blake2bPrefix(Bytes input);

// Key material in locked memory. The same bytes are one object in the whole process; wiped when the
// last user drops it. (What OpenSSL expands of it is wiped, too, but not locked.)
class Key {
 public:
  // Null unless the key has 16, 24 or 32 bytes.
  static std::shared_ptr<const Key> of(Bytes bytes);
  Key(const Key&) = delete;
  Key& operator=(const Key&) = delete;

  KeyId id() const { return id_; }
  Bytes bytes() const { return {page_.data(), length_}; }

 private:
  explicit Key(Bytes bytes);
  LockedPage page_;
  size_t length_;
  KeyId id_;
};
using KeyPtr = std::shared_ptr<const Key>;

// Mutable set of keys, primary first. Written by JS, read by the I/O thread through KeyView.
class Keyring {
 public:
  // The key id, or nothing for a bad length or an id that another key has.
  std::optional<KeyId> add(Bytes bytes);
  bool use(KeyId id);
  bool remove(KeyId id);
  std::vector<KeyPtr> keys() const;
  uint64_t version() const { return version_.load(std::memory_order_acquire); }

 private:
  mutable std::mutex mutex_;
  std::vector<KeyPtr> keys_;
  std::atomic<uint64_t> version_{1};
};

// One thread's copy of a keyring, refreshed when the ring changed.
class KeyView {
 public:
  explicit KeyView(std::shared_ptr<const Keyring> ring) : ring_(std::move(ring)) {}
  bool isSealing() const { return ring_ != nullptr; }
  // The key to seal with; null when the ring is empty.
  const KeyPtr* primary();
  const KeyPtr* find(KeyId id);
  // True when the ring has changed since the last call.
  bool refresh();

 private:
  std::shared_ptr<const Keyring> ring_;
  uint64_t version_ = 0;
  std::vector<KeyPtr> keys_;
};

// Prepared cipher contexts of one thread, shared by all its endpoints.
class CipherCache {
 public:
  CipherCache() = default;
  ~CipherCache();
  CipherCache(const CipherCache&) = delete;
  CipherCache& operator=(const CipherCache&) = delete;

  // Writes body and tag to `out`, which has room for both. `associated` is authenticated with them.
  bool seal(const KeyPtr& key, Bytes nonce, Bytes associated, Bytes body, uint8_t* out);
  // `sealed` ends with the tag; writes sealed.size() - kTagBytes bytes to `out`. False: not authentic.
  bool open(const KeyPtr& key, Bytes nonce, Bytes associated, Bytes sealed, uint8_t* out);
  // Forgets (and so wipes) keys that nobody holds but such caches.
  void purge();

 private:
  struct Entry {
    KeyPtr key;
    evp_cipher_ctx_st* sealer;
    evp_cipher_ctx_st* opener;
  };
  Entry* entryOf(const KeyPtr& key);
  static void drop(Entry& entry);

  std::vector<Entry> entries_;
};

}  // namespace tattler
