#include "keyring.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>

namespace tattler {

namespace {

// Every live key by its bytes, so that equal keys are the same pointer in all endpoints.
struct KeyStore {
  std::mutex mutex;
  std::vector<std::weak_ptr<const Key>> keys;
};

KeyStore& keyStore() {
  static KeyStore* store = new KeyStore;  // outlives every thread that may still drop a key
  return *store;
}

const EVP_CIPHER* cipherFor(size_t keyBytes) {
  switch (keyBytes) {
    case 16:
      return EVP_aes_128_gcm();
    case 24:
      return EVP_aes_192_gcm();
    default:
      return EVP_aes_256_gcm();
  }
}

int length(Bytes bytes) { return static_cast<int>(bytes.size()); }

// Of a hub: one for the I/O thread, one for streams. A key that only they hold is in no ring.
constexpr long kCaches = 2;
// Entries of removed keys beyond this many are purged even if nothing asked for it.
constexpr size_t kCachedKeys = 64;

}  // namespace

uint32_t blake2bPrefix(Bytes input) {
  uint8_t digest[EVP_MAX_MD_SIZE];
  unsigned int digestBytes = 0;
  EVP_Digest(input.data(), input.size(), digest, &digestBytes, EVP_blake2b512(), nullptr);
  uint32_t prefix = 0;
  std::memcpy(&prefix, digest, sizeof prefix);
  OPENSSL_cleanse(digest, sizeof digest);
  return prefix;
}

Key::Key(Bytes bytes) : length_(bytes.size()), id_(blake2bPrefix(bytes)) {
  std::ranges::copy(bytes, page_.data());
}

std::shared_ptr<const Key> Key::of(Bytes bytes) {
  if (bytes.size() != 16 && bytes.size() != 24 && bytes.size() != 32) return nullptr;
  KeyStore& store = keyStore();
  const std::lock_guard lock(store.mutex);
  std::erase_if(store.keys, [](const auto& weak) { return weak.expired(); });
  for (const auto& weak : store.keys) {
    KeyPtr known = weak.lock();
    if (known && std::ranges::equal(known->bytes(), bytes)) return known;
  }
  KeyPtr key(new Key(bytes));
  store.keys.push_back(key);
  return key;
}

std::optional<KeyId> Keyring::add(Bytes bytes) {
  KeyPtr key = Key::of(bytes);
  if (!key) return std::nullopt;
  const std::lock_guard lock(mutex_);
  for (const KeyPtr& known : keys_) {
    if (known == key) return key->id();
    if (known->id() == key->id()) return std::nullopt;
  }
  keys_.push_back(key);
  version_.fetch_add(1, std::memory_order_release);
  return key->id();
}

bool Keyring::use(KeyId id) {
  const std::lock_guard lock(mutex_);
  const auto found =
      std::ranges::find_if(keys_, [id](const KeyPtr& key) { return key->id() == id; });
  if (found == keys_.end()) return false;
  std::rotate(keys_.begin(), found, found + 1);
  version_.fetch_add(1, std::memory_order_release);
  return true;
}

bool Keyring::remove(KeyId id) {
  const std::lock_guard lock(mutex_);
  if (keys_.empty() || keys_.front()->id() == id) return false;
  const size_t erased = std::erase_if(keys_, [id](const KeyPtr& key) { return key->id() == id; });
  version_.fetch_add(1, std::memory_order_release);
  return erased > 0;
}

std::vector<KeyPtr> Keyring::keys() const {
  const std::lock_guard lock(mutex_);
  return keys_;
}

bool KeyView::refresh() {
  if (!ring_) return false;
  const uint64_t version = ring_->version();
  if (version == version_) return false;
  keys_ = ring_->keys();
  version_ = version;
  return true;
}

const KeyPtr* KeyView::primary() {
  return keys_.empty() ? nullptr : &keys_.front();
}

const KeyPtr* KeyView::find(KeyId id) {
  for (const KeyPtr& key : keys_) {
    if (key->id() == id) return &key;
  }
  return nullptr;
}

CipherCache::~CipherCache() {
  for (Entry& entry : entries_) drop(entry);
}

void CipherCache::drop(Entry& entry) {
  EVP_CIPHER_CTX_free(entry.sealer);
  EVP_CIPHER_CTX_free(entry.opener);
  entry = {};
}

void CipherCache::purge() {
  std::erase_if(entries_, [](Entry& entry) {
    if (entry.key.use_count() > kCaches) return false;
    drop(entry);
    return true;
  });
}

CipherCache::Entry* CipherCache::entryOf(const KeyPtr& key) {
  for (Entry& entry : entries_) {
    if (entry.key == key) return &entry;
  }
  if (entries_.size() >= kCachedKeys) purge();
  const EVP_CIPHER* cipher = cipherFor(key->bytes().size());
  Entry entry{key, EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_new()};
  const uint8_t* bytes = key->bytes().data();
  if (!entry.sealer || !entry.opener ||
      EVP_EncryptInit_ex(entry.sealer, cipher, nullptr, bytes, nullptr) != 1 ||
      EVP_DecryptInit_ex(entry.opener, cipher, nullptr, bytes, nullptr) != 1) {
    drop(entry);
    return nullptr;
  }
  entries_.push_back(std::move(entry));
  return &entries_.back();
}

bool CipherCache::seal(const KeyPtr& key, Bytes nonce, Bytes associated, Bytes body,
                       uint8_t* out) {
  Entry* entry = entryOf(key);
  if (!entry) return false;
  EVP_CIPHER_CTX* ctx = entry->sealer;
  int written = 0;
  int last = 0;
  return EVP_EncryptInit_ex(ctx, nullptr, nullptr, nullptr, nonce.data()) == 1 &&
         EVP_EncryptUpdate(ctx, nullptr, &written, associated.data(), length(associated)) == 1 &&
         EVP_EncryptUpdate(ctx, out, &written, body.data(), length(body)) == 1 &&
         EVP_EncryptFinal_ex(ctx, out + written, &last) == 1 &&
         EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, kTagBytes, out + body.size()) == 1;
}

bool CipherCache::open(const KeyPtr& key, Bytes nonce, Bytes associated, Bytes sealed,
                       uint8_t* out) {
  if (sealed.size() < kTagBytes) return false;
  Entry* entry = entryOf(key);
  if (!entry) return false;
  EVP_CIPHER_CTX* ctx = entry->opener;
  const Bytes body = sealed.first(sealed.size() - kTagBytes);
  uint8_t tag[kTagBytes];
  std::memcpy(tag, sealed.data() + body.size(), kTagBytes);
  int written = 0;
  int last = 0;
  return EVP_DecryptInit_ex(ctx, nullptr, nullptr, nullptr, nonce.data()) == 1 &&
         EVP_DecryptUpdate(ctx, nullptr, &written, associated.data(), length(associated)) == 1 &&
         EVP_DecryptUpdate(ctx, out, &written, body.data(), length(body)) == 1 &&
         EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, kTagBytes, tag) == 1 &&
         EVP_DecryptFinal_ex(ctx, out + written, &last) == 1;
}

}  // namespace tattler
