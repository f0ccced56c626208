// From a config to a gateway that listens.

import { functionSink, openAudit } from '../audit/audit-sink.js'
import type { GatewayConfig } from '../config/config.js'
import { SessionUsages } from '../sessions/session-usage.js'
import { ActiveConfig } from './active-config.js'
import type { Gateway, GatewayOptions } from './gateway.js'
import { activeConfigOptions, GatewayServer, warnerOf } from './gateway-server.js'
import { startStep } from './start-error.js'

/**
 * Starts a gateway; resolves when it listens.
 * @throws {GatewayStartError} when something that the config names cannot be used, or an address not bound
 */
export async function startGateway(config: GatewayConfig, options: GatewayOptions = {}): Promise<Gateway> {
  const usages = new SessionUsages()
  const active = await ActiveConfig.start(config, activeConfigOptions(options, usages))
  let server: GatewayServer | undefined
  try {
    const audit = await startStep(config, ['audit'], () => {
      const warn = warnerOf(options)
      return options.audit === undefined ? openAudit(config.audit, warn) : functionSink(options.audit, warn)
    })
    server = new GatewayServer(active, options, usages, audit)
    await server.listen()
    return server
  } catch (error) {
    await server?.close()
    active.stop()
    throw error
  }
}

/**
 * Tries everything that `startGateway` would use, without listening.
 * @throws {GatewayStartError}
 */
export async function checkGatewayConfig(config: GatewayConfig): Promise<void> {
  const active = await ActiveConfig.start(config, activeConfigOptions({}, new SessionUsages()))
  active.stop()
}
