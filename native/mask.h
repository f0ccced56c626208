// WebSocket masking (RFC 6455, section 5.3).

#ifndef CCR_UPSTREAM_PROXY_MASK_H
#define CCR_UPSTREAM_PROXY_MASK_H

#include <stddef.h>
#include <stdint.h>

/**
 * Masks `length` bytes from `source` to `target`, which is the same or begins before it: they may overlap that way.
 * `phase` is how many bytes of the message came before.
 */
void MaskForward(uint8_t* target, const uint8_t* source, size_t length, const uint8_t key[4], size_t phase);

#endif
