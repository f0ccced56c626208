// All that a gateway makes of one config, but for its listeners: what a reload replaces in one go. Tunnels keep the one
// that they began with, but for secrets, which are always the current ones of it.

import { createSecureContext } from 'node:tls'
import { CertificateAuthority } from '../certificates/certificate-authority.js'
import type { HostContexts } from '../certificates/leaf-contexts.js'
import { Leaves } from '../certificates/leaves.js'
import type { CertificateConfig, GatewayConfig } from '../config/config.js'
import { SecretStartError } from '../credentials/secrets/secret-store.js'
import { Dialer, type Lookup } from '../origin/dialer.js'
import { dialThroughProxy } from '../origin/forward-proxy.js'
import type { Session } from '../sessions/session.js'
import type { SessionUsages } from '../sessions/session-usage.js'
import { Sessions } from '../sessions/sessions.js'
import { GatewayStartError, startStep } from './start-error.js'

/** What it takes from outside of the config. */
export interface ActiveConfigOptions {
  readonly lookup: Lookup | undefined
  readonly dialTimeoutMs: number
  readonly usages: SessionUsages
  readonly report: (message: string) => void
}

/** The way out of a tunnel. */
export type TunnelDialer = Pick<Dialer, 'assertAllowed' | 'dial' | 'dialTls'>

export class ActiveConfig {
  readonly config: GatewayConfig
  readonly sessions: Sessions
  readonly #leaves: Leaves | undefined
  readonly #dialer: Dialer
  #tunnels = 0
  #isReplaced = false

  private constructor(
    config: GatewayConfig,
    parts: { leaves: Leaves | undefined; dialer: Dialer; sessions: Sessions },
  ) {
    this.config = config
    this.#leaves = parts.leaves
    this.#dialer = parts.dialer
    this.sessions = parts.sessions
  }

  /**
   * Tries everything that the config names, and runs the commands of its secrets.
   * @throws {GatewayStartError}
   */
  static async start(
    config: GatewayConfig,
    options: ActiveConfigOptions,
    previous?: ActiveConfig,
  ): Promise<ActiveConfig> {
    const leaves = previous?.leavesOf(config) ?? (await startStep(config, ['ca'], () => startLeaves(config)))
    const dialer = await startStep(config, ['upstream', 'caFiles'], () => {
      return new Dialer(config.upstream, { lookup: options.lookup, timeoutMs: options.dialTimeoutMs })
    })
    await startStep(config, ['tls'], () => config.tls && createSecureContext(tlsOptions(config.tls)))
    const sessions = await startStep(config, ['jwt'], () => {
      return new Sessions(config, options.usages, previous?.sessions.keySets)
    })
    await startSecrets(config, options.report)
    return new ActiveConfig(config, { leaves, dialer, sessions })
  }

  /** What it minted, where `config` has the same CA. */
  leavesOf({ ca }: GatewayConfig): Leaves | undefined {
    const own = this.config.ca
    const isSame =
      own.certificatePem === ca.certificatePem && own.privateKeyPem?.reveal() === ca.privateKeyPem?.reveal()
    return isSame ? this.#leaves : undefined
  }

  /** For a tunnel that goes by this config: its secrets are kept fresh until the function is called. */
  hold(): () => void {
    this.#tunnels++
    return () => {
      this.#tunnels--
      this.#stopUnused()
    }
  }

  /** Another one is in use: no further tunnel will hold this one. */
  replace(): void {
    this.#isReplaced = true
    this.#stopUnused()
  }

  #stopUnused(): void {
    if (this.#isReplaced && this.#tunnels === 0) this.stop()
  }

  /** The commands of its secrets are not run again. */
  stop(): void {
    this.config.secrets.stop()
  }

  /**
   * TLS settings for an intercepted host.
   * @throws {Refusal} when the session may have no further name now
   */
  contextsFor(host: string, { usage }: Session): Promise<HostContexts> {
    return (this.#leaves as Leaves).contextsFor(host, (mint) => usage.mintName(mint))
  }

  /** Ports, and addresses that stand in the CONNECT, are checked in either case; names are resolved by who dials. */
  dialerFor(session: Session): TunnelDialer {
    const { forward } = this.config
    const dialer = this.#dialer
    if (forward === undefined) return dialer
    return {
      assertAllowed: (authority) => dialer.assertAllowed(authority),
      dial: (authority, signal) => {
        return dialThroughProxy(forward, authority, { sessionId: session.id, signal, timeoutMs: dialer.timeoutMs })
      },
      dialTls: (...args) => dialer.dialTls(...args),
    }
  }
}

/** With `forward` nothing is intercepted, and no key is needed; the certificate is only served. */
async function startLeaves({ ca }: GatewayConfig): Promise<Leaves | undefined> {
  const { certificatePem, privateKeyPem } = ca
  if (privateKeyPem !== undefined) {
    const source = { certificatePem, privateKeyPem: privateKeyPem.reveal() }
    return new Leaves(await CertificateAuthority.load(source))
  }
  createSecureContext({ ca: certificatePem })
  return undefined
}

async function startSecrets(config: GatewayConfig, report: (message: string) => void): Promise<void> {
  try {
    await config.secrets.start(report)
  } catch (error) {
    config.secrets.stop()
    if (error instanceof SecretStartError) throw new GatewayStartError(config, ['secrets', error.secret], error.message)
    throw error
  }
}

/** The gateway's own TLS. */
export function tlsOptions({ certificatePem, privateKeyPem }: CertificateConfig) {
  return { minVersion: 'TLSv1.2', cert: certificatePem, key: privateKeyPem.reveal() } as const
}
