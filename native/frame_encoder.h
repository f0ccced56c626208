// From the payload of one socket read to the bytes for the gateway's socket.

#ifndef CCR_UPSTREAM_PROXY_FRAME_ENCODER_H
#define CCR_UPSTREAM_PROXY_FRAME_ENCODER_H

#include <napi.h>

/**
 * encodeFrames(buffer, payloadOffset, payloadLength, maxMessageBytes, keys, keyOffset): number, as in src/addon.ts.
 * Node-API's own types, because it runs once a read: node-addon-api's would ask the runtime twice about each array.
 */
napi_value EncodeFrames(napi_env env, napi_callback_info info);

#endif
