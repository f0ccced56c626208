// The compiler's vectors of 16 bytes, which are registers on x64 and arm64 alike. A plain loop would not become one:
// source and target may overlap, and for all that the compiler knows in the direction in which that is no harm.

#include "mask.h"

#include <string.h>

typedef uint8_t Vector __attribute__((vector_size(16)));

/** memcpy, because neither end is aligned; it becomes one instruction. */
static Vector LoadVector(const uint8_t* source) {
  Vector vector;
  memcpy(&vector, source, sizeof(vector));
  return vector;
}

static Vector RepeatKey(const uint8_t key[4], size_t phase) {
  Vector vector;
  for (size_t i = 0; i < sizeof(vector); i++) vector[i] = key[(phase + i) % 4];
  return vector;
}

static void MaskVector(uint8_t* target, const uint8_t* source, Vector key) {
  const Vector masked = LoadVector(source) ^ key;
  memcpy(target, &masked, sizeof(masked));
}

void MaskForward(uint8_t* target, const uint8_t* source, size_t length, const uint8_t key[4], size_t phase) {
  const Vector repeated = RepeatKey(key, phase);
  size_t at = 0;
#pragma GCC unroll 8
  for (; length - at >= sizeof(Vector); at += sizeof(Vector)) MaskVector(target + at, source + at, repeated);
  for (; at < length; at++) target[at] = source[at] ^ key[(phase + at) % 4];
}
