// The addon's entry: its names, and what one JavaScript environment keeps of it. No function's body is here.

#include <napi.h>

#include "chunk_header.h"
#include "process.h"
#include "token_file.h"

static Napi::Object InitAddon(Napi::Env env, Napi::Object exports) {
  // Kept per environment, not in a static: workers load the addon again. The environment deletes it at its end.
  env.SetInstanceData(new AddonData{TokenFile::DefineClass(env)});

  exports.Set("setDumpable", Napi::Function::New<SetDumpable>(env, "setDumpable"));
  exports.Set("getDumpable", Napi::Function::New<GetDumpable>(env, "getDumpable"));
  exports.Set("openTokenFile", Napi::Function::New<OpenTokenFile>(env, "openTokenFile"));
  exports.Set("writeChunkHeader", Napi::Function::New<WriteChunkHeader>(env, "writeChunkHeader"));
  return exports;
}

NODE_API_MODULE(ccr_upstream_proxy, InitAddon)
