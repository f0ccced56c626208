// A gateway as programs that embed it see it.

import type { AuditRecord } from '../audit/audit-record.js'
import type { GatewayConfig } from '../config/config.js'
import type { InterceptLimits } from '../intercept/intercept.js'
import type { Lookup } from '../origin/dialer.js'
import type { PendingLimits } from './pending-connections.js'

/** What a program that embeds the gateway can set besides the config. All of it is optional. */
export interface GatewayOptions {
  /** Takes the audit's records instead of the target in the config. */
  readonly audit?: (record: AuditRecord) => void
  /** Takes warnings about the gateway itself, one line each. Default: `process.emitWarning`. */
  readonly warn?: (message: string) => void
  /** Resolves host names to addresses. Default: the system's resolver. Its answers are checked either way. */
  readonly lookup?: Lookup
  /** Milliseconds from the first byte of a CONNECT head to its last. Default 10,000: relays send it in one message. */
  readonly connectHeadTimeoutMs?: number
  /** Milliseconds until a CONNECT head begins. Default 600,000: relays open WebSockets before they need them. */
  readonly connectWaitMs?: number
  /** Milliseconds for resolving, connecting and TLS to an origin. Default 15,000: three SYNs and a handshake. */
  readonly dialTimeoutMs?: number
  /** Milliseconds from the end of a request to the head of its answer. Default 120,000: models think long. */
  readonly responseHeadTimeoutMs?: number
  /** Milliseconds that an intercepted client has for its TLS handshake and for a request head. Default 60,000 each. */
  readonly interceptLimits?: InterceptLimits
  /** Connections without a session: 10,000 milliseconds for each and 1,000 of them, unless given. */
  readonly pendingLimits?: PendingLimits
  /** Tunnels at once; one more is answered 503. Default 10,000, some 100 KiB each. */
  readonly maxTunnels?: number
}

/** A running gateway. */
export interface Gateway {
  /** The base that relays are given, `http://127.0.0.1:8443`. */
  readonly url: string
  readonly port: number
  /** The port of metrics and probes, when the config has one. */
  readonly adminPort: number | undefined
  /** The certificate that clients of intercepted hosts must trust. */
  readonly caCertificatePem: string
  /**
   * Takes another config in the place of the one in use, all of it or nothing. New tunnels go by it; open ones go on by
   * theirs, but those of sessions that are not let in any more end.
   * @throws {GatewayStartError} and goes on with the config in use
   */
  reload(config: GatewayConfig): Promise<void>
  /** Counts a config that did not get as far as `reload`. */
  noteFailedReload(): void
  /** For a rotation that moved the audit's file away. */
  reopenAudit(): Promise<void>
  /**
   * Stops listening, lets tunnels go on for `graceMs` (default 0), then cuts those that are left. Called again while
   * it waits, without a grace, it waits no longer.
   */
  close(options?: { readonly graceMs?: number }): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}
