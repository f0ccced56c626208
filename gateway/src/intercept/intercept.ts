// Terminates the client's TLS inside a tunnel with a certificate of our own, and hands the decrypted stream to the
// protocol that the client chose. Nothing is dialled before a request has passed its checks.

import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type SecureContext, TLSSocket } from 'node:tls'
import { type Authority, parseAuthority } from 'ccr-upstream-proxy/protocol'
import type { AuditErrorCode } from '../audit/audit-record.js'
import type { HttpProtocol } from '../origin/dialer.js'
import type { RefusalCode } from '../refusal.js'
import type { InterceptedTunnel } from './exchange.js'
import { Exchanges } from './exchanges.js'
import { serveHttp1 } from './http1/tunnel-server.js'
import { MAX_CONCURRENT_STREAMS } from './http2/settings.js'
import { serveHttp2 } from './http2/tunnel-server.js'

const PROTOCOLS: readonly HttpProtocol[] = ['h2', 'http/1.1']

/** How long an intercepted client may take. */
export interface InterceptLimits {
  /** From the 200 to the end of the TLS handshake. */
  readonly handshakeTimeoutMs: number
  /** From the first byte of an HTTP/1.1 request head to its last. */
  readonly requestHeadTimeoutMs: number
}

/** The slowest real handshake is a client that looks at the tunnel's 200 first; a minute is beyond all of them. */
export const DEFAULT_INTERCEPT_LIMITS: InterceptLimits = { handshakeTimeoutMs: 60_000, requestHeadTimeoutMs: 60_000 }

/** What is to be said of a tunnel besides its requests: no handshake, or bytes that were none. */
export type InterceptOutcome = Extract<AuditErrorCode, 'client-tls-failed' | 'sni-mismatch'> | RefusalCode | undefined

/** Serves one tunnel until it is closed. Never rejects. */
export function interceptTunnel(
  stream: Duplex,
  secureContext: SecureContext,
  tunnel: InterceptedTunnel,
  limits: InterceptLimits,
): Promise<InterceptOutcome> {
  return new Promise((resolve) => {
    let outcome: InterceptOutcome = 'client-tls-failed'
    // What ends a stream with an error is no clean end on the wire either.
    const abort = () => stream.destroy(new Error('the exchange was cut off'))
    const exchanges = new Exchanges(tunnel, abort)
    const secured = terminateTls(stream, secureContext, (servername) => {
      if (isNamed(tunnel.authority, servername)) return true
      outcome = 'sni-mismatch'
      return false
    })
    // Not TLSSocket's own timeout: that one begins anew with each byte.
    const timer = setTimeout(() => stream.destroy(), limits.handshakeTimeoutMs)
    // What tls.Server itself waits for; a TLSSocket has no other sign of a finished handshake.
    secured.once('secure', () => {
      clearTimeout(timer)
      outcome = undefined
      // What tls.Server does next; node:http2 waits for it.
      ;(secured as { secureConnecting?: boolean }).secureConnecting = false
      serve(secured, tunnel, exchanges, limits)
    })
    stream.once('close', () => {
      clearTimeout(timer)
      secured.destroy()
      tunnel.origin.close()
      exchanges.whenIdle(() => resolve(outcome ?? exchanges.unparsed))
    })
  })
}

function serve(secured: TLSSocket, tunnel: InterceptedTunnel, exchanges: Exchanges, limits: InterceptLimits): void {
  if (secured.alpnProtocol !== 'h2') {
    serveHttp1(secured, exchanges, limits.requestHeadTimeoutMs)
    return
  }
  tunnel.origin.offerHttp2(MAX_CONCURRENT_STREAMS)
  serveHttp2(secured, exchanges)
}

function terminateTls(
  stream: Duplex,
  secureContext: SecureContext,
  acceptsName: (servername: string) => boolean,
): TLSSocket {
  const options = {
    isServer: true,
    secureContext,
    ALPNProtocols: [...PROTOCOLS],
    // No certificate for another name is ever made: the handshake fails instead.
    SNICallback: (servername: string, callback: (error: Error | null) => void) => {
      callback(acceptsName(servername) ? null : new Error('unrecognized name'))
    },
  }
  const secured = new TLSSocket(stream as unknown as Socket, options)
  secured.on('error', () => {})
  return secured
}

/** Whether a server name (RFC 6066, section 3) is the host of the CONNECT. */
function isNamed(authority: Authority, servername: string): boolean {
  return parseAuthority(`${servername}:1`)?.host === authority.host
}
