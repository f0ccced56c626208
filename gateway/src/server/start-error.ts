// What can go wrong between a good config and a running gateway, said like a problem of the config: where, key, what.

import type { GatewayConfig } from '../config/config.js'
import { type ConfigPath, formatPath } from '../config/config-problem.js'

/** A gateway that cannot start, or not reload. `key` is the part of the config that it is about. */
export class GatewayStartError extends Error {
  override readonly name = 'GatewayStartError'
  readonly key: string
  /** File and line. */
  readonly location: string

  constructor(config: GatewayConfig, path: ConfigPath, message: string) {
    super(message)
    this.key = formatPath(path)
    this.location = config.locate(path)
  }
}

/** Neither OpenSSL's messages nor the system's quote what they were given. */
export async function startStep<T>(config: GatewayConfig, path: ConfigPath, step: () => T | Promise<T>): Promise<T> {
  try {
    return await step()
  } catch (error) {
    throw new GatewayStartError(config, path, (error as Error).message)
  }
}
