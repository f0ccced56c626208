// Binds token_reader.h to JavaScript objects.

#include "token_file.h"

#include <errno.h>
#include <string.h>

#include "arguments.h"

// More would be no token; the bound keeps `maxBytes + 1` and every offset within an int.
static const double kMaxBytesLimit = 1 << 30;

Napi::FunctionReference TokenFile::DefineClass(Napi::Env env) {
  return Napi::Persistent(ObjectWrap::DefineClass(env, "TokenFile",
                                                  {
                                                      InstanceMethod<&TokenFile::CopyTo>("copyTo"),
                                                      InstanceMethod<&TokenFile::Wipe>("wipe"),
                                                      InstanceMethod<&TokenFile::Unlink>("unlink"),
                                                  }));
}

TokenFile::TokenFile(const Napi::CallbackInfo& info) : Napi::ObjectWrap<TokenFile>(info) {}

void TokenFile::Adopt(const char* path, TokenReading&& reading) {
  memcpy(path_, path, strlen(path) + 1);
  reading_ = static_cast<TokenReading&&>(reading);
}

int TokenFile::PutToken(Napi::Uint8Array target, double offset) const {
  if (reading_.memory.data() == nullptr) return -EBADF;
  const double space = static_cast<double>(target.ElementLength());
  if (!IsWholeNumber(offset, space) || space - offset < static_cast<double>(reading_.length)) return -ERANGE;
  memcpy(target.Data() + static_cast<size_t>(offset), reading_.memory.data(), reading_.length);
  return static_cast<int>(reading_.length);
}

Napi::Value TokenFile::CopyTo(const Napi::CallbackInfo& info) {
  const bool valid = IsBytes(info[0]) && info[1].IsNumber();
  if (!ExpectArguments(info, valid, "copyTo(target: Uint8Array, offset: number)")) return Napi::Value();
  const int result = PutToken(info[0].As<Napi::Uint8Array>(), info[1].As<Napi::Number>().DoubleValue());
  return Napi::Number::New(info.Env(), result);
}

Napi::Value TokenFile::Wipe(const Napi::CallbackInfo& info) {
  reading_.memory.Wipe();
  return info.Env().Undefined();
}

Napi::Value TokenFile::Unlink(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), RemoveTokenFile(path_, reading_.facts));
}

/** 0, or the -errno that open(2) would give; a NUL inside would silently name another file. */
static int CopyPath(Napi::Value value, TokenPath path) {
  size_t length = 0;
  napi_get_value_string_utf8(value.Env(), value, path, sizeof(TokenPath), &length);
  if (length == sizeof(TokenPath) - 1) return -ENAMETOOLONG;
  return strlen(path) == length ? 0 : -EINVAL;
}

/** Numbers that may pass 2^53 are BigInts, as in node:fs with `bigint: true`. */
static void SetFacts(Napi::Object object, const FileFacts& facts) {
  const Napi::Env env = object.Env();
  object.Set("dev", Napi::BigInt::New(env, facts.dev));
  object.Set("ino", Napi::BigInt::New(env, facts.ino));
  object.Set("mode", Napi::Number::New(env, facts.mode));
  object.Set("uid", Napi::Number::New(env, facts.uid));
  object.Set("nlink", Napi::Number::New(env, facts.nlink));
}

static Napi::Value CreateRefusal(Napi::Env env, const TokenReading& reading) {
  Napi::Object refusal = Napi::Object::New(env);
  refusal.Set("errno", Napi::Number::New(env, reading.error));
  refusal.Set("problem", Napi::String::New(env, reading.problem));
  if (reading.examined) SetFacts(refusal, reading.facts);
  return refusal;
}

static Napi::Value CreateHandle(Napi::Env env, const char* path, TokenReading&& reading) {
  Napi::Object handle = env.GetInstanceData<AddonData>()->token_file_class.New({});
  TokenFile* token_file = handle.IsEmpty() ? nullptr : TokenFile::Unwrap(handle);
  if (token_file == nullptr) return Napi::Value();
  handle.Set("length", Napi::Number::New(env, static_cast<double>(reading.length)));
  handle.Set("locked", Napi::Boolean::New(env, reading.memory.locked()));
  SetFacts(handle, reading.facts);
  token_file->Adopt(path, static_cast<TokenReading&&>(reading));
  return handle;
}

Napi::Value OpenTokenFile(const Napi::CallbackInfo& info) {
  const double max_bytes = info[1].IsNumber() ? info[1].As<Napi::Number>().DoubleValue() : 0;
  const bool valid = info[0].IsString() && IsWholeNumber(max_bytes, kMaxBytesLimit) && max_bytes > 0;
  if (!ExpectArguments(info, valid, "openTokenFile(path: string, maxBytes: positive integer)")) return Napi::Value();

  TokenPath path;
  TokenReading reading;
  reading.problem = "open";
  reading.error = CopyPath(info[0], path);
  if (reading.error == 0) reading = ReadTokenFile(path, static_cast<size_t>(max_bytes));
  if (reading.problem != nullptr) return CreateRefusal(info.Env(), reading);
  return CreateHandle(info.Env(), path, static_cast<TokenReading&&>(reading));
}
