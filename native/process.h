// The process's own attributes.

#ifndef CCR_UPSTREAM_PROXY_PROCESS_H
#define CCR_UPSTREAM_PROXY_PROCESS_H

#include <napi.h>

/** setDumpable(value: 0 | 1): number. prctl(2) PR_SET_DUMPABLE: 0, or -errno; -ENOSYS where there is no prctl. */
Napi::Value SetDumpable(const Napi::CallbackInfo& info);

/** getDumpable(): number. prctl(2) PR_GET_DUMPABLE: 0, 1 or 2, or -errno; -ENOSYS where there is no prctl. */
Napi::Value GetDumpable(const Napi::CallbackInfo& info);

/** setCoreLimit(bytes: number): number. setrlimit(2) RLIMIT_CORE, soft: the one before, or -errno. */
Napi::Value SetCoreLimit(const Napi::CallbackInfo& info);

#endif
