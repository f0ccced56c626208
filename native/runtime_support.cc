// The part of the C++ library that node-addon-api's headers call, so that the addon needs the C library alone: no
// libstdc++ of any version has to be in the container. Without exceptions, a failing allocation can only abort.

#include <stddef.h>
#include <stdlib.h>

#include <new>

static void* AllocateOrAbort(size_t size) {
  void* memory = malloc(size == 0 ? 1 : size);
  if (memory == nullptr) abort();
  return memory;
}

void* operator new(size_t size) { return AllocateOrAbort(size); }
void* operator new[](size_t size) { return AllocateOrAbort(size); }
void operator delete(void* memory) noexcept { free(memory); }
void operator delete[](void* memory) noexcept { free(memory); }
void operator delete(void* memory, size_t) noexcept { free(memory); }
void operator delete[](void* memory, size_t) noexcept { free(memory); }

// What std::string and std::vector do when they are misused, which node-addon-api does not.
namespace std {
void __throw_bad_alloc() { abort(); }
void __throw_bad_array_new_length() { abort(); }
void __throw_length_error(const char*) { abort(); }
void __throw_logic_error(const char*) { abort(); }
}  // namespace std

extern "C" void __cxa_pure_virtual() { abort(); }
