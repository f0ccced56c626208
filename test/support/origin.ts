// An origin for tests: a real TLS server on a free port of 127.0.0.1, with a certificate of a root that only tests trust.
// It speaks HTTP/1.1, HTTP/2, either, or WebSocket, and remembers every request; or it is raw: each connection is bytes,
// and remembers every one of them, so that no parser stands between a test and what was sent.

import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { createSecureServer } from 'node:http2'
import { createServer as createHttpsServer } from 'node:https'
import type { Server, Socket } from 'node:net'
import { createServer as createTlsServer, type TLSSocket, type TlsOptions } from 'node:tls'
import { WebSocketServer } from 'ws'
import { ByteInbox } from './byte-inbox.js'
import { type Listening, listen } from './listening.js'
import { Mailbox } from './mailbox.js'
import { answerByPath, answerExpectation } from './origin-paths.js'
import type { Scope } from './temp-dir.js'
import { createTestCa, type TestCertificate } from './test-ca.js'

/** The root of every origin that is not given another's certificate. */
export const originCa = await createTestCa('origin root')

const NAMES = ['api.example.com', 'other.example.com', 'plain.example.com', 'localhost', '127.0.0.1']
const defaultCertificate = await originCa.serverCertificate(...NAMES)

/** `both` lets the client choose by ALPN; `websocket` is HTTP/1.1 that takes upgrades. */
export type HttpProtocol = 'http1' | 'http2' | 'both' | 'websocket'

interface OriginSetup {
  /** What its certificate is for. Default: three hosts of example.com, localhost and 127.0.0.1. */
  readonly names?: readonly string[]
  /** A certificate of another root. */
  readonly certificate?: TestCertificate
  /** More options of its TLS server. */
  readonly tls?: TlsOptions
}

export interface HttpOriginSetup extends OriginSetup {
  /** Default: http1. */
  readonly protocol?: HttpProtocol
  /** Answers requests; over HTTP/2 with node's compatible request and response. Default: by path, see origin-paths.ts. */
  readonly handler?: RequestListener
}

export interface RawOriginSetup extends OriginSetup {
  readonly protocol: 'raw'
  /** Is given each connection at once; without one a test takes it from `nextConnection`. */
  readonly handler?: (connection: RawConnection) => void
}

/** A request as it came over the wire, pseudo fields of HTTP/2 included. */
export interface SeenRequest {
  readonly method: string
  readonly path: string
  /** Names and values in turn, untouched. */
  readonly rawHeaders: readonly string[]
  /** The same, filled in when they have come. */
  readonly trailers: readonly string[]
  /** Whether the client went away before the request was whole, or reset it. */
  readonly isAborted: boolean
}

export interface Origin extends Listening {
  /** Every request so far. */
  readonly requests: readonly SeenRequest[]
}

export interface RawOrigin extends Listening {
  /** Every TLS connection so far, with its bytes. */
  readonly opened: readonly RawConnection[]
  /** The next connection that was not asked for yet. */
  nextConnection(): Promise<RawConnection>
}

/** Starts an origin; it is closed with `scope`. */
export function startOrigin(scope: Scope, setup: RawOriginSetup): Promise<RawOrigin>
export function startOrigin(scope: Scope, setup?: HttpOriginSetup): Promise<Origin>
export function startOrigin(scope: Scope, setup: RawOriginSetup | HttpOriginSetup = {}): Promise<Listening> {
  return setup.protocol === 'raw' ? startRaw(scope, setup) : startHttp(scope, setup)
}

async function startHttp(scope: Scope, setup: HttpOriginSetup): Promise<Origin> {
  const requests: SeenRequest[] = []
  const server = createHttpServer(setup.protocol, await tlsOptionsOf(setup))
  const handler = setup.handler ?? answerByPath
  const onRequest = (request: IncomingMessage, response: ServerResponse, answer: RequestListener) => {
    // A client that goes away in the middle is part of some tests.
    request.on('error', () => {})
    response.on('error', () => {})
    requests.push(seenRequest(request))
    answer(request, response)
  }
  server.on('request', (request, response) => onRequest(request, response, handler))
  server.on('checkContinue', (request, response) => onRequest(request, response, setup.handler ?? answerExpectation))
  if (setup.protocol === 'websocket') acceptUpgrades(server, (request) => requests.push(seenRequest(request)))
  return Object.assign(
    await listen(
      scope,
      server.on('tlsClientError', () => {}),
    ),
    { requests },
  )
}

async function tlsOptionsOf({ names, certificate, tls }: OriginSetup): Promise<TlsOptions> {
  const own = names === undefined ? defaultCertificate : await originCa.serverCertificate(...names)
  return { ...(certificate ?? own), ...tls }
}

function createHttpServer(protocol: HttpProtocol | undefined, options: TlsOptions): Server {
  if (protocol !== 'http2' && protocol !== 'both') return createHttpsServer(options)
  return createSecureServer({ ...options, allowHTTP1: protocol === 'both' }).on('sessionError', () => {})
}

function seenRequest(request: IncomingMessage): SeenRequest {
  const { method = '', url: path = '', rawHeaders } = request
  let isAborted = false
  request.on('aborted', () => {
    isAborted = true
  })
  return {
    method,
    path,
    rawHeaders,
    get trailers() {
      return request.rawTrailers
    },
    get isAborted() {
      return isAborted
    },
  }
}

/** WebSockets are greeted and echo; `/close` says goodbye, `/deny` is answered 403. */
function acceptUpgrades(server: Server, onRequest: (request: IncomingMessage) => void): void {
  const webSockets = new WebSocketServer({ noServer: true })
  server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    onRequest(request)
    socket.on('error', () => {})
    if (request.url === '/deny') {
      socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\nConnection: close\r\n\r\ndenied')
      return
    }
    webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      // In the same packet as the 101: what many servers greet with.
      webSocket.send('welcome')
      webSocket.on('message', (data, isBinary) => webSocket.send(data, { binary: isBinary }))
      if (request.url === '/close') webSocket.close(4321, 'goodbye')
    })
  })
}

/** One connection of a raw origin, for one reader at a time. */
export class RawConnection {
  readonly socket: TLSSocket
  /** How the client's side ended: `end` for a close of TLS, else the code of an error, or `closed`. */
  readonly ended: Promise<string>
  readonly #pieces: Buffer[] = []
  readonly #inbox = new ByteInbox()

  constructor(socket: TLSSocket) {
    this.socket = socket
    socket.on('data', (bytes: Buffer) => {
      this.#pieces.push(bytes)
      this.#inbox.push(bytes)
    })
    this.ended = new Promise((resolve) => {
      const end = (how: string) => {
        this.#inbox.end(how)
        resolve(how)
      }
      socket.once('end', () => end('end'))
      socket.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message))
      socket.once('close', () => end('closed'))
    })
  }

  /** Every byte so far, those that were read included. */
  get received(): Buffer {
    return Buffer.concat(this.#pieces)
  }

  /** The next `count` bytes. */
  take(count: number): Promise<Buffer> {
    return this.#inbox.take(count)
  }

  /** Everything up to `text`, and `text`. */
  takeUntil(text: string): Promise<string> {
    return this.#inbox.takeUntil(text)
  }

  /** Everything to the end. */
  rest(): Promise<Buffer> {
    return this.#inbox.rest()
  }

  /** A text is sent as Latin-1: one byte a character. */
  write(bytes: string | Uint8Array): void {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  }
}

async function startRaw(scope: Scope, setup: RawOriginSetup): Promise<RawOrigin> {
  const opened: RawConnection[] = []
  const unclaimed = new Mailbox<RawConnection>()
  const server = createTlsServer(await tlsOptionsOf(setup), (socket) => {
    const connection = new RawConnection(socket)
    opened.push(connection)
    setup.handler?.(connection)
    unclaimed.put(connection)
  })
  return Object.assign(
    await listen(
      scope,
      server.on('tlsClientError', () => {}),
    ),
    { opened, nextConnection: () => unclaimed.next() },
  )
}
