// The head of one UpstreamProxyChunk message.

#ifndef CCR_UPSTREAM_PROXY_CHUNK_HEADER_H
#define CCR_UPSTREAM_PROXY_CHUNK_HEADER_H

#include <napi.h>

/**
 * writeChunkHeader(target: Uint8Array, offset: number, payloadLength: number): number. Writes 0x0a and the varint, and
 * returns how many bytes that was; -EINVAL for a length or an offset that is none, -ERANGE if they do not fit.
 */
Napi::Value WriteChunkHeader(const Napi::CallbackInfo& info);

#endif
