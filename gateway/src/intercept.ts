// Terminates the client's TLS inside a tunnel with a certificate of our own, and hands each HTTP/1.1 request to
// forward.ts. Nothing is dialled before a request has passed its checks.

import { constants } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls'
import { type Authority, parseAuthority } from 'ccr-upstream-proxy/protocol'
import type { AuditErrorCode } from './audit.js'
import type { CertificateAndKey } from './certificate-authority.js'
import { type ChunkStream, ChunkStreamError, CLOSE_INTERNAL_ERROR } from './chunk-stream.js'
import { forwardRequest, type InterceptedTunnel, MAX_HTTP_HEAD_BYTES } from './forward.js'
import { encodeRefusal, Refusal } from './refusal.js'

/** The slowest real handshake is a client that looks at the tunnel's 200 first; a minute is beyond all of them. */
const HANDSHAKE_TIMEOUT_MS = 60_000

/** How an intercepted tunnel ended before its first request; undefined when there was one, or the client just left. */
export type InterceptOutcome = Extract<AuditErrorCode, 'client-tls-failed' | 'sni-mismatch'> | undefined

/** The TLS settings for each leaf, made once: that costs more than the handshake itself. */
export class LeafContexts {
  readonly #contexts = new WeakMap<CertificateAndKey, SecureContext>()

  of(leaf: CertificateAndKey): SecureContext {
    const known = this.#contexts.get(leaf)
    if (known !== undefined) return known
    const context = createSecureContext({
      cert: leaf.certificatePem,
      key: leaf.privateKeyPem,
      minVersion: 'TLSv1.2',
      // A resumed session would not pass through the check of the server name.
      secureOptions: constants.SSL_OP_NO_TICKET,
    })
    this.#contexts.set(leaf, context)
    return context
  }
}

/** Serves one tunnel until it is closed. Never rejects. */
export function interceptTunnel(
  stream: ChunkStream,
  secureContext: SecureContext,
  tunnel: Omit<InterceptedTunnel, 'abort'>,
): Promise<InterceptOutcome> {
  return new Promise((resolve) => {
    let outcome: InterceptOutcome = 'client-tls-failed'
    const exchanges = new Exchanges({
      ...tunnel,
      abort: () => stream.destroy(new ChunkStreamError('the exchange was cut off', CLOSE_INTERNAL_ERROR)),
    })
    const secured = terminateTls(stream, secureContext, (servername) => {
      if (isNamed(tunnel.authority, servername)) return true
      outcome = 'sni-mismatch'
      return false
    })
    // What tls.Server itself waits for; a TLSSocket has no other sign of a finished handshake.
    secured.once('secure', () => {
      outcome = undefined
    })
    stream.once('close', () => {
      secured.destroy()
      tunnel.agent.destroy()
      exchanges.whenIdle(() => resolve(outcome))
    })
    createTunnelServer(exchanges).emit('connection', secured)
  })
}

function terminateTls(
  stream: ChunkStream,
  secureContext: SecureContext,
  acceptsName: (servername: string) => boolean,
): TLSSocket {
  const options = {
    isServer: true,
    secureContext,
    ALPNProtocols: ['http/1.1'],
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    // No certificate for another name is ever made: the handshake fails instead.
    SNICallback: (servername: string, callback: (error: Error | null) => void) => {
      callback(acceptsName(servername) ? null : new Error('unrecognized name'))
    },
  }
  const secured = new TLSSocket(stream as unknown as Socket, options)
  secured.on('error', () => {})
  return secured
}

function createTunnelServer(exchanges: Exchanges): Server {
  // No limit on a whole request: uploads take as long as they take. Nor on the pause between two requests.
  const server = createServer({ maxHeaderSize: MAX_HTTP_HEAD_BYTES, requestTimeout: 0, keepAliveTimeout: 0 })
  // Node drops fields above this count silently, framing fields included; the head's size is limit enough.
  server.maxHeadersCount = 0
  server.on('request', (request, response) => exchanges.serve(request, response))
  // With this listener node leaves the answer to us, and ours is the origin's.
  server.on('checkContinue', (request, response) => exchanges.serve(request, response))
  server.on('connect', (_request, socket) =>
    answerAndClose(socket, new Refusal('method-not-allowed', 'no CONNECT here')),
  )
  server.on('clientError', (error, socket) => exchanges.onClientError(error, socket))
  return server
}

/** Whether a server name (RFC 6066, section 3) is the host of the CONNECT. */
function isNamed(authority: Authority, servername: string): boolean {
  return parseAuthority(`${servername}:1`)?.host === authority.host
}

/** The requests of one tunnel. */
class Exchanges {
  readonly #tunnel: InterceptedTunnel
  readonly #active = new Set<ServerResponse>()
  #onIdle: (() => void) | undefined

  constructor(tunnel: InterceptedTunnel) {
    this.#tunnel = tunnel
  }

  serve(request: IncomingMessage, response: ServerResponse): void {
    this.#active.add(response)
    void forwardRequest(request, response, this.#tunnel).finally(() => {
      this.#active.delete(response)
      if (this.#active.size === 0) this.#onIdle?.()
    })
  }

  /** Calls back once, when no request is under way. */
  whenIdle(callback: () => void): void {
    if (this.#active.size === 0) callback()
    else this.#onIdle = callback
  }

  /** What the HTTP parser refuses gets an answer only when none is under way: it would land inside that one. */
  onClientError(error: NodeJS.ErrnoException, socket: Duplex): void {
    const isParserError = error.code?.startsWith('HPE_') === true
    if (!isParserError || !socket.writable) socket.destroy()
    else if (this.#active.size === 0) answerAndClose(socket, parserRefusal(error.code))
    // The request was refused for the same reason already, and that answer is on its way.
    else if ([...this.#active].every((response) => response.writableEnded)) (socket as TLSSocket).destroySoon()
    else socket.destroy()
  }
}

function parserRefusal(code: string | undefined): Refusal {
  if (code === 'HPE_HEADER_OVERFLOW') {
    return new Refusal('head-too-large', `the request head has more than ${MAX_HTTP_HEAD_BYTES} bytes`)
  }
  // A method that node's parser does not know, TRACK among them.
  if (code === 'HPE_INVALID_METHOD') return new Refusal('method-not-allowed', 'the method is not forwarded')
  return new Refusal('bad-request', 'the request is not valid HTTP/1.1')
}

function answerAndClose(socket: Duplex, refusal: Refusal): void {
  socket.on('error', () => {})
  ;(socket as TLSSocket).end(encodeRefusal(refusal), () => socket.destroy())
}
