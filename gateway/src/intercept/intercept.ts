// Terminates the client's TLS inside a tunnel with a certificate of our own, and hands the decrypted stream to the
// protocol that the client chose. Nothing is dialled before a request has passed its checks.

import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type SecureContext, TLSSocket } from 'node:tls'
import { type Authority, parseAuthority } from 'ccr-upstream-proxy/protocol'
import type { AuditErrorCode } from '../audit/audit-record.js'
import type { HostContexts } from '../certificates/leaf-contexts.js'
import { Guard } from '../guard.js'
import type { RefusalCode } from '../refusal.js'
import { awaitCertificateKind } from './client-hello.js'
import { Exchanges } from './exchanges.js'
import { serveHttp1 } from './http1/client-connection.js'
import { serveHttp2 } from './http2/client-connection.js'
import { MAX_CONCURRENT_STREAMS } from './http2/settings.js'
import type { InterceptedTunnel } from './intercepted-tunnel.js'
import { type DialTls, TunnelOrigin } from './tunnel-origin.js'

/** What a client may choose (RFC 7301). Debian's curl offers nothing but `http/1.0` when it is told to speak that. */
const PROTOCOLS: readonly string[] = ['h2', 'http/1.1', 'http/1.0']

/** How long an intercepted client may take. */
export interface InterceptLimits {
  /** From the 200 to the end of the TLS handshake. */
  readonly handshakeTimeoutMs: number
  /** From the first byte of a request head to its last, and to the first request of HTTP/2. */
  readonly requestHeadTimeoutMs: number
}

/** The slowest real handshake is a client that looks at the tunnel's 200 first; a minute is beyond all of them. */
export const DEFAULT_INTERCEPT_LIMITS: InterceptLimits = { handshakeTimeoutMs: 60_000, requestHeadTimeoutMs: 60_000 }

/** What is to be said of a tunnel besides its requests: no handshake, or bytes that were none. */
export type InterceptOutcome =
  | Extract<AuditErrorCode, 'client-tls-failed' | 'sni-mismatch' | 'client-flood'>
  | RefusalCode
  | undefined

/** Serves one tunnel until it is closed. Never rejects. */
export function interceptTunnel(
  stream: Duplex,
  contexts: HostContexts,
  tunnel: Omit<InterceptedTunnel, 'origin' | 'schedule'> & { readonly dialTls: DialTls },
  limits: InterceptLimits,
): Promise<InterceptOutcome> {
  return new Promise((resolve) => {
    let outcome: InterceptOutcome = 'client-tls-failed'
    // What ends a stream with an error is no clean end on the wire either.
    const abort = () => stream.destroy(new Error('the exchange was cut off'))
    const endAsDefect = (thrown: unknown) => {
      tunnel.reportDefect(thrown)
      exchanges.abort('internal')
      abort()
    }
    const guard = new Guard(endAsDefect)
    const origin = new TunnelOrigin(tunnel.authority, tunnel.dialTls, guard)
    const schedule = (ms: number, callback: () => void) => guard.startDeadline(ms, callback)
    const exchanges = new Exchanges({ ...tunnel, origin, schedule }, abort)
    // Not TLSSocket's own timeout: that one begins anew with each byte.
    const stopWaiting = schedule(limits.handshakeTimeoutMs, () => stream.destroy())
    const begin = (secureContext: SecureContext) => {
      if (stream.closed) return
      const secured = terminateTls(stream, secureContext, guard, (servername) => {
        if (isNamed(tunnel.authority, servername)) return true
        outcome = 'sni-mismatch'
        return false
      })
      guard.once(stream, 'close', () => secured.destroy())
      const stopAwaitingEnd = guard.on(stream, 'end', () => stream.destroy())
      // What tls.Server itself waits for; a TLSSocket has no other sign of a finished handshake.
      guard.once(secured, 'secure', () => {
        stopWaiting()
        stopAwaitingEnd()
        outcome = undefined
        serve(secured)
      })
    }
    const serve = (secured: TLSSocket) => {
      // What tls.Server does next; node:http2 waits for it.
      ;(secured as { secureConnecting?: boolean }).secureConnecting = false
      if (secured.alpnProtocol === 'h2') {
        origin.offerHttp2(MAX_CONCURRENT_STREAMS)
        serveHttp2(secured, exchanges, guard, limits.requestHeadTimeoutMs)
      } else serveHttp1(secured, exchanges, guard, limits.requestHeadTimeoutMs)
    }
    awaitCertificateKind(stream, guard)
      .then((kind) => (kind === 'ecdsa' ? contexts.ecdsa : contexts.either()))
      .then(begin)
      .catch(endAsDefect)
    const onClose = () => {
      stopWaiting()
      exchanges.leave()
      origin.close()
      resolve(outcome ?? exchanges.unparsed)
    }
    if (stream.closed) onClose()
    else guard.once(stream, 'close', onClose)
  })
}

function terminateTls(
  stream: Duplex,
  secureContext: SecureContext,
  guard: Guard,
  acceptsName: (servername: string) => boolean,
): TLSSocket {
  const options = {
    isServer: true,
    secureContext,
    ALPNProtocols: [...PROTOCOLS],
    // No certificate for another name is ever made: the handshake fails instead.
    SNICallback: guard.wrap((servername: string, callback: (error: Error | null) => void) => {
      callback(acceptsName(servername) ? null : new Error('unrecognized name'))
    }),
  }
  const secured = new TLSSocket(stream as unknown as Socket, options)
  guard.ignoreErrors(secured)
  // The stream below it is closed once it has written what it was given.
  guard.once(secured, 'close', () => stream.end())
  return secured
}

/** Whether a server name (RFC 6066, section 3) is the host of the CONNECT. */
function isNamed(authority: Authority, servername: string): boolean {
  return parseAuthority(`${servername}:1`)?.host === authority.host
}
