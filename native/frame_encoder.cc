// Checks what JavaScript passed in, and then writes the frames in one pass from front to back. Every piece but the last
// moves towards the front, by the headers that come behind it; a frame never reaches the payload that is not read yet.

#include "frame_encoder.h"

#include <errno.h>

#include "arguments.h"
#include "frame_layout.h"
#include "mask.h"

// A Protocol Buffers message is smaller than 2 GiB.
static const double kMaxLength = 0x7fffffff;

static const size_t kArguments = 6;

struct Bytes {
  uint8_t* data;
  size_t length;
};

struct FrameArguments {
  Bytes buffer;
  double payload_offset;
  double payload_length;
  double max_message_bytes;
  Bytes keys;
  double key_offset;
};

/** The type is asked for with the rest: a question to the runtime costs as much as masking 500 bytes. */
static bool GetBytes(napi_env env, napi_value value, Bytes* bytes) {
  napi_typedarray_type type;
  void* data = nullptr;
  const napi_status status =
      napi_get_typedarray_info(env, value, &type, &bytes->length, &data, nullptr, nullptr);
  bytes->data = static_cast<uint8_t*>(data);
  return status == napi_ok && type == napi_uint8_array;
}

static bool GetArguments(napi_env env, napi_callback_info info, FrameArguments* arguments) {
  napi_value values[kArguments];
  size_t count = kArguments;
  return napi_get_cb_info(env, info, &count, values, nullptr, nullptr) == napi_ok &&
         GetBytes(env, values[0], &arguments->buffer) &&
         napi_get_value_double(env, values[1], &arguments->payload_offset) == napi_ok &&
         napi_get_value_double(env, values[2], &arguments->payload_length) == napi_ok &&
         napi_get_value_double(env, values[3], &arguments->max_message_bytes) == napi_ok &&
         GetBytes(env, values[4], &arguments->keys) &&
         napi_get_value_double(env, values[5], &arguments->key_offset) == napi_ok;
}

static bool Fits(double offset, double length, size_t space) { return offset + length <= static_cast<double>(space); }

/** 0, or -errno. Sums of whole numbers up to 2^53 and 2^31 are exact enough to compare with a length in memory. */
static int CheckRanges(const FrameArguments& arguments) {
  if (!IsWholeNumber(arguments.payload_length, kMaxLength)) return -EINVAL;
  if (!IsWholeNumber(arguments.max_message_bytes, kMaxLength)) return -EINVAL;
  if (!IsWholeNumber(arguments.payload_offset, kMaxOffset)) return -EINVAL;
  if (!IsWholeNumber(arguments.key_offset, kMaxOffset)) return -EINVAL;
  return Fits(arguments.payload_offset, arguments.payload_length, arguments.buffer.length) ? 0 : -ERANGE;
}

static void WriteFrames(uint8_t* payload, const FrameLayout& layout, const uint8_t* key) {
  uint8_t* target = payload - layout.header_bytes;
  for (size_t left = layout.count; left > 0; left--, key += kKeyBytes) {
    const size_t length = left > 1 ? layout.step : layout.last;
    target += WriteFrameHeader(target, length, key);
    MaskForward(target, payload, length, key, ChunkHeaderLength(length));
    target += length;
    payload += length;
  }
}

static int64_t EncodeChecked(const FrameArguments& arguments) {
  const int error = CheckRanges(arguments);
  if (error != 0) return error;
  const size_t step = MaxPayloadBytes(static_cast<size_t>(arguments.max_message_bytes));
  if (step == 0) return -EINVAL;
  if (arguments.payload_length == 0) return 0;
  const FrameLayout layout = LayOutFrames(static_cast<size_t>(arguments.payload_length), step);
  if (layout.header_bytes > arguments.payload_offset) return -ERANGE;
  if (!Fits(arguments.key_offset, static_cast<double>(layout.count * kKeyBytes), arguments.keys.length)) return -ERANGE;
  WriteFrames(arguments.buffer.data + static_cast<size_t>(arguments.payload_offset), layout,
              arguments.keys.data + static_cast<size_t>(arguments.key_offset));
  return static_cast<int64_t>(layout.header_bytes);
}

napi_value EncodeFrames(napi_env env, napi_callback_info info) {
  FrameArguments arguments;
  napi_value result = nullptr;
  if (GetArguments(env, info, &arguments)) {
    napi_create_int64(env, EncodeChecked(arguments), &result);
  } else {
    napi_throw_type_error(env, nullptr, "encodeFrames(buffer: Uint8Array, payloadOffset: number, payloadLength: number, "
                                        "maxMessageBytes: number, keys: Uint8Array, keyOffset: number)");
  }
  return result;
}
