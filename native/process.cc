// prctl(2) and setrlimit(2). Whether and when to call it is the caller's affair.

#include "process.h"

#include <errno.h>
#include <sys/resource.h>

#include <limits>

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

// The hard limit stays as it is, for children inherit both.
static double ReplaceCoreLimit(double bytes) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_CORE, &limit) < 0) return -errno;
  const rlim_t before = limit.rlim_cur;
  const bool is_above = bytes >= static_cast<double>(limit.rlim_max);
  limit.rlim_cur = is_above ? limit.rlim_max : static_cast<rlim_t>(bytes);
  if (setrlimit(RLIMIT_CORE, &limit) < 0) return -errno;
  return before == RLIM_INFINITY ? std::numeric_limits<double>::infinity() : static_cast<double>(before);
}

Napi::Value SetCoreLimit(const Napi::CallbackInfo& info) {
  if (!ExpectArguments(info, info[0].IsNumber(), "setCoreLimit(bytes: number)")) return Napi::Value();
  const double bytes = info[0].As<Napi::Number>().DoubleValue();
  return Napi::Number::New(info.Env(), bytes >= 0 ? ReplaceCoreLimit(bytes) : -EINVAL);
}
