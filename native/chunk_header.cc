// Protocol Buffers' encoding of `bytes data = 1` up to its payload: the tag and the length
// (https://protobuf.dev/programming-guides/encoding/).

#include "chunk_header.h"

#include <errno.h>
#include <string.h>

#include "arguments.h"

// Field 1, wire type 2 (length-delimited): 1 << 3 | 2.
static const uint8_t kDataTag = 0x0a;

// A Protocol Buffers message is smaller than 2 GiB, so five bytes of varint are enough.
static const double kMaxPayloadLength = 0x7fffffff;
static const size_t kMaxHeaderBytes = 1 + 5;

// Any number beyond this is no index of a typed array (Number.MAX_SAFE_INTEGER).
static const double kMaxOffset = 9007199254740991.0;

static size_t EncodeChunkHeader(uint32_t payload_length, uint8_t header[kMaxHeaderBytes]) {
  size_t length = 0;
  header[length++] = kDataTag;
  while (payload_length > 0x7f) {
    header[length++] = static_cast<uint8_t>(payload_length | 0x80);
    payload_length >>= 7;
  }
  header[length++] = static_cast<uint8_t>(payload_length);
  return length;
}

static int PutChunkHeader(Napi::Uint8Array target, double offset, double payload_length) {
  if (!IsWholeNumber(offset, kMaxOffset) || !IsWholeNumber(payload_length, kMaxPayloadLength)) return -EINVAL;
  uint8_t header[kMaxHeaderBytes];
  const size_t length = EncodeChunkHeader(static_cast<uint32_t>(payload_length), header);
  const size_t start = static_cast<size_t>(offset);
  if (start > target.ElementLength() || target.ElementLength() - start < length) return -ERANGE;
  memcpy(target.Data() + start, header, length);
  return static_cast<int>(length);
}

Napi::Value WriteChunkHeader(const Napi::CallbackInfo& info) {
  const bool valid = IsBytes(info[0]) && info[1].IsNumber() && info[2].IsNumber();
  const char* signature = "writeChunkHeader(target: Uint8Array, offset: number, payloadLength: number)";
  if (!ExpectArguments(info, valid, signature)) return Napi::Value();
  const int result = PutChunkHeader(info[0].As<Napi::Uint8Array>(), info[1].As<Napi::Number>().DoubleValue(),
                                    info[2].As<Napi::Number>().DoubleValue());
  return Napi::Number::New(info.Env(), result);
}
