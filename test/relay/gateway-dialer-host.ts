// Dials the WebSocket of the first argument with a header that cannot be sent, closes the dialer, and says how the dial ended.

import { UpstreamProxyError } from '#src/errors.js'
import { DEFAULT_RELAY_LIMITS } from '#src/relay/limits.js'
import type { GatewayHandler } from '#src/runtime/runtime.js'
import { runtime } from '#src/runtime/select.js'

const trust = runtime.createTrust(undefined)
const dialer = runtime.createGatewayDialer({ ...DEFAULT_RELAY_LIMITS, trust, egress: undefined })
const failed = new Promise<UpstreamProxyError>((resolve, reject) => {
  const handler: GatewayHandler = {
    gatewayOnOpen() {},
    gatewayOnData() {},
    gatewayOnEnd() {},
    gatewayOnPong() {},
    gatewayOnDrain() {},
    gatewayOnFailure: resolve,
    gatewayOnClose() {},
  }
  try {
    dialer.dial(new URL(process.argv[2] ?? ''), { 'X-Header': 'a\nb' }, handler)
  } catch (error) {
    reject(error)
  }
})
const error = await failed.catch((thrown: unknown) => thrown)
await dialer.close()
process.stdout.write(error instanceof UpstreamProxyError ? 'told' : 'thrown')
