// The doctor's way to the gateway, as the adapters of the runtime take it.

import type { GatewayAddress } from '../runtime/probe.js'
import type { Route } from '../runtime/runtime.js'
import { runtime } from '../runtime/select.js'

/** Less than in service: the whole examination has fifteen seconds. */
const EGRESS_TIMEOUT_MS = 3_000

/** How the adapters of the runtime get to the gateway. */
export function routeTo({ certificates, egress }: GatewayAddress): Route {
  return { trust: runtime.createTrust(certificates), egress, egressTimeoutMs: EGRESS_TIMEOUT_MS }
}
