// The token file as JavaScript sees it: an object that holds the token, never a string of it.

#ifndef CCR_UPSTREAM_PROXY_TOKEN_FILE_H
#define CCR_UPSTREAM_PROXY_TOKEN_FILE_H

#include <limits.h>
#include <napi.h>

#include "token_reader.h"

/** Room for a path and its NUL. */
using TokenPath = char[PATH_MAX];

/** The handle. Its finalizer wipes too, so that a handle that is dropped leaves nothing behind. */
class TokenFile : public Napi::ObjectWrap<TokenFile> {
 public:
  static Napi::FunctionReference DefineClass(Napi::Env env);

  /** Without Adopt, as when JavaScript gets at the constructor, a handle is like one that was wiped. */
  explicit TokenFile(const Napi::CallbackInfo& info);
  void Adopt(const char* path, TokenReading&& reading);

 private:
  Napi::Value CopyTo(const Napi::CallbackInfo& info);
  Napi::Value Wipe(const Napi::CallbackInfo& info);
  Napi::Value Unlink(const Napi::CallbackInfo& info);

  int PutToken(Napi::Uint8Array target, double offset) const;

  TokenPath path_ = "";
  TokenReading reading_;
};

/** What one environment keeps. */
struct AddonData {
  Napi::FunctionReference token_file_class;
};

/** openTokenFile(path: string, maxBytes: number): TokenFileHandle | TokenFileRefusal, as in src/addon.ts. */
Napi::Value OpenTokenFile(const Napi::CallbackInfo& info);

#endif
