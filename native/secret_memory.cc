// mmap(2), mlock(2), madvise(2). Locking and advice are best effort: a secret in plain memory still beats a start that
// fails, and `locked` tells.

#include "secret_memory.h"

#include <errno.h>
#include <sys/mman.h>

SecretMemory::SecretMemory(SecretMemory&& other) noexcept { *this = static_cast<SecretMemory&&>(other); }

SecretMemory& SecretMemory::operator=(SecretMemory&& other) noexcept {
  if (this == &other) return *this;
  Wipe();
  data_ = other.data_;
  capacity_ = other.capacity_;
  locked_ = other.locked_;
  other.data_ = nullptr;
  return *this;
}

SecretMemory::~SecretMemory() { Wipe(); }

int SecretMemory::Allocate(size_t capacity) {
  void* mapping = mmap(nullptr, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) return -errno;
  data_ = static_cast<uint8_t*>(mapping);
  capacity_ = capacity;
  locked_ = mlock(mapping, capacity) == 0;
#ifdef MADV_DONTDUMP
  madvise(mapping, capacity, MADV_DONTDUMP);
#endif
#ifdef MADV_WIPEONFORK
  madvise(mapping, capacity, MADV_WIPEONFORK);
#endif
  return 0;
}

void SecretMemory::Wipe() {
  if (data_ == nullptr) return;
  // volatile: the compiler would drop a memset of memory that nobody reads again. explicit_bzero needs glibc 2.25.
  volatile uint8_t* bytes = data_;
  for (size_t i = 0; i < capacity_; i++) bytes[i] = 0;
  munmap(data_, capacity_);
  data_ = nullptr;
}
