// Where a payload is cut, and what stands in front of each piece: sizes and bytes of headers, no memory of others.

#ifndef CCR_UPSTREAM_PROXY_FRAME_LAYOUT_H
#define CCR_UPSTREAM_PROXY_FRAME_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

/** Bytes of a masking key (RFC 6455, section 5.3). */
inline constexpr size_t kKeyBytes = 4;

/** The largest header of one frame: WebSocket with a 64-bit length, key, tag, varint of a length below 2^31. */
inline constexpr size_t kMaxFrameHeaderBytes = 10 + kKeyBytes + 1 + 5;

/** How a payload is cut: `count` pieces, all of `step` bytes but the last. */
struct FrameLayout {
  size_t step;
  size_t count;
  size_t last;
  /** Of all frames together. */
  size_t header_bytes;
};

/** The largest payload whose chunk fits a message of `max_message_bytes`; 0 if not one byte does. */
size_t MaxPayloadBytes(size_t max_message_bytes);

/** `payload_length` and `step` are not 0. */
FrameLayout LayOutFrames(size_t payload_length, size_t step);

/** Writes the header of the frame that carries `payload_length` bytes, masked as far as it is; returns its length. */
size_t WriteFrameHeader(uint8_t* target, size_t payload_length, const uint8_t key[kKeyBytes]);

/** Bytes of the tag and the varint. */
size_t ChunkHeaderLength(size_t payload_length);

#endif
