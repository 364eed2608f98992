// One page of memory for a secret: kept out of swap, and wiped before it is given back. Not locked
// where the system refuses (RLIMIT_MEMLOCK).
#pragma once

#include <openssl/crypto.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

#include "types.h"

namespace tattler {

class LockedPage {
 public:
  LockedPage() {
    size_ = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    void* page = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) std::abort();  // out of memory, as with any allocation
    data_ = static_cast<uint8_t*>(page);
    isLocked_ = mlock(data_, size_) == 0;
  }
  ~LockedPage() {
    OPENSSL_cleanse(data_, size_);
    if (isLocked_) munlock(data_, size_);
    munmap(data_, size_);
  }
  LockedPage(const LockedPage&) = delete;
  LockedPage& operator=(const LockedPage&) = delete;

  uint8_t* data() { return data_; }
  const uint8_t* data() const { return data_; }

 private:
  uint8_t* data_;
  size_t size_;
  bool isLocked_;
};

}  // namespace tattler
