// WebSocket client frames (RFC 6455, section 5.2) around Protocol Buffers' `bytes data = 1`
// (https://protobuf.dev/programming-guides/encoding/).

#include "frame_layout.h"

// FIN and opcode 2 (binary); then MASK beside the length.
static const uint8_t kFinalBinary = 0x82;
static const uint8_t kMask = 0x80;

// Field 1, wire type 2 (length-delimited): 1 << 3 | 2.
static const uint8_t kDataTag = 0x0a;

static const size_t kMaxLengthIn7Bits = 125;
static const size_t kMaxLengthIn16Bits = 0xffff;

size_t ChunkHeaderLength(size_t payload_length) {
  size_t length = 2;
  for (size_t rest = payload_length; rest > 0x7f; rest >>= 7) length++;
  return length;
}

static size_t LengthFieldBytes(size_t message_length) {
  if (message_length <= kMaxLengthIn7Bits) return 0;
  return message_length <= kMaxLengthIn16Bits ? 2 : 8;
}

static size_t FrameHeaderLength(size_t payload_length) {
  const size_t chunk_header = ChunkHeaderLength(payload_length);
  return 2 + LengthFieldBytes(chunk_header + payload_length) + kKeyBytes + chunk_header;
}

size_t MaxPayloadBytes(size_t max_message_bytes) {
  for (size_t header = 2; header <= max_message_bytes; header++) {
    if (ChunkHeaderLength(max_message_bytes - header) <= header) return max_message_bytes - header;
  }
  return 0;
}

FrameLayout LayOutFrames(size_t payload_length, size_t step) {
  const size_t whole = (payload_length - 1) / step;
  const size_t last = payload_length - whole * step;
  return {step, whole + 1, last, whole * FrameHeaderLength(step) + FrameHeaderLength(last)};
}

/** The length in the shortest of its three forms, most significant byte first. */
static size_t WriteWebSocketHeader(uint8_t* target, size_t message_length) {
  const size_t field = LengthFieldBytes(message_length);
  target[0] = kFinalBinary;
  target[1] = kMask | static_cast<uint8_t>(field == 0 ? message_length : field == 2 ? 126 : 127);
  for (size_t i = 0; i < field; i++) target[2 + i] = static_cast<uint8_t>(message_length >> 8 * (field - 1 - i));
  return 2 + field;
}

static size_t WriteChunkHeader(uint8_t* target, size_t payload_length) {
  size_t at = 0;
  target[at++] = kDataTag;
  size_t rest = payload_length;
  for (; rest > 0x7f; rest >>= 7) target[at++] = static_cast<uint8_t>(rest | 0x80);
  target[at++] = static_cast<uint8_t>(rest);
  return at;
}

size_t WriteFrameHeader(uint8_t* target, size_t payload_length, const uint8_t key[kKeyBytes]) {
  size_t at = WriteWebSocketHeader(target, ChunkHeaderLength(payload_length) + payload_length);
  for (size_t i = 0; i < kKeyBytes; i++) target[at++] = key[i];
  const size_t chunk_header = WriteChunkHeader(target + at, payload_length);
  for (size_t i = 0; i < chunk_header; i++) target[at + i] ^= key[i % kKeyBytes];
  return at + chunk_header;
}
