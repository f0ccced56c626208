// prctl(2). Whether and when to call it is the caller's affair.

#include "process.h"

#include <errno.h>

#include "arguments.h"

#ifdef __linux__
#include <sys/prctl.h>

static int PrctlResult(int result) { return result < 0 ? -errno : result; }
static int KernelSetDumpable(int value) { return PrctlResult(prctl(PR_SET_DUMPABLE, value, 0, 0, 0)); }
static int KernelGetDumpable() { return PrctlResult(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0)); }
#else
static int KernelSetDumpable(int) { return -ENOSYS; }
static int KernelGetDumpable() { return -ENOSYS; }
#endif

Napi::Value SetDumpable(const Napi::CallbackInfo& info) {
  if (!ExpectArguments(info, info[0].IsNumber(), "setDumpable(value: 0 | 1)")) return Napi::Value();
  const double value = info[0].As<Napi::Number>().DoubleValue();
  const int result = IsWholeNumber(value, 1) ? KernelSetDumpable(static_cast<int>(value)) : -EINVAL;
  return Napi::Number::New(info.Env(), result);
}

Napi::Value GetDumpable(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), KernelGetDumpable());
}
