// The addon's entry: its names, and what one JavaScript environment keeps of it. No function's body is here.

#include <napi.h>

#include "frame_encoder.h"
#include "process.h"
#include "token_file.h"

/** A function that is written against Node-API itself. */
static void SetFunction(Napi::Env env, Napi::Object exports, const char* name, napi_callback callback) {
  napi_value function = nullptr;
  if (napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function) == napi_ok) {
    exports.Set(name, function);
  }
}

static Napi::Object InitAddon(Napi::Env env, Napi::Object exports) {
  // Kept per environment, not in a static: workers load the addon again. The environment deletes it at its end.
  env.SetInstanceData(new AddonData{TokenFile::DefineClass(env)});

  exports.Set("setDumpable", Napi::Function::New<SetDumpable>(env, "setDumpable"));
  exports.Set("setCoreLimit", Napi::Function::New<SetCoreLimit>(env, "setCoreLimit"));
  exports.Set("getDumpable", Napi::Function::New<GetDumpable>(env, "getDumpable"));
  exports.Set("openTokenFile", Napi::Function::New<OpenTokenFile>(env, "openTokenFile"));
  SetFunction(env, exports, "encodeFrames", EncodeFrames);
  return exports;
}

NODE_API_MODULE(ccr_upstream_proxy, InitAddon)
