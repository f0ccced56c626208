// Memory for one secret: outside every heap, kept from swap, core dumps and forked children as far as the system
// allows, and zeroed before it is given back, by whichever way its owner goes.

#ifndef CCR_UPSTREAM_PROXY_SECRET_MEMORY_H
#define CCR_UPSTREAM_PROXY_SECRET_MEMORY_H

#include <stddef.h>
#include <stdint.h>

class SecretMemory {
 public:
  SecretMemory() = default;
  SecretMemory(SecretMemory&& other) noexcept;
  SecretMemory& operator=(SecretMemory&& other) noexcept;
  SecretMemory(const SecretMemory&) = delete;
  SecretMemory& operator=(const SecretMemory&) = delete;
  ~SecretMemory();

  /** Maps at least `capacity` zeroed bytes: 0, or -errno. Only on an empty one. */
  int Allocate(size_t capacity);

  /** Zeroes and unmaps; any number of times. */
  void Wipe();

  /** Null when empty. */
  uint8_t* data() const { return data_; }

  /** Whether mlock(2) succeeded. RLIMIT_MEMLOCK may be 0 in a container. */
  bool locked() const { return locked_; }

 private:
  uint8_t* data_ = nullptr;
  size_t capacity_ = 0;
  bool locked_ = false;
};

#endif
