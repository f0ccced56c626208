// Checks of what JavaScript passes in, for all functions. A wrong type is the caller's mistake and throws; nothing else
// in the addon does.

#ifndef CCR_UPSTREAM_PROXY_ARGUMENTS_H
#define CCR_UPSTREAM_PROXY_ARGUMENTS_H

#include <napi.h>

/** True if `valid`; else a TypeError that quotes the signature is pending, and the caller has to return. */
inline bool ExpectArguments(const Napi::CallbackInfo& info, bool valid, const char* signature) {
  if (!valid) Napi::TypeError::New(info.Env(), signature).ThrowAsJavaScriptException();
  return valid;
}

inline bool IsBytes(const Napi::Value& value) {
  return value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array;
}

// Number.MAX_SAFE_INTEGER: any number beyond it is no index.
inline constexpr double kMaxOffset = 9007199254740991.0;

/** Whether a JavaScript number is a whole one from 0 to `max`, and so can be cast; false for NaN. */
inline bool IsWholeNumber(double number, double max) {
  return number >= 0 && number <= max && number == static_cast<double>(static_cast<uint64_t>(number));
}

#endif
