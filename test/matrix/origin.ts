// The origin of one client: one HTTPS server that the gateway knows under two names, and that listens on an address which
// only a network of NO_PROXY covers. It speaks HTTP/1.1 and HTTP/2, and has the registries below their paths.
//   /hello        the secret word                 /ws          a WebSocket that says the secret word
//   POST /        the secret word as STS says who is asking      /api/v3/user  as GitHub says it
//   /matrix.Greeter/Hello   gRPC                  /NAME/…      the registry with that name

import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import {
  createSecureServer,
  type Http2SecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from 'node:http2'
import type { Socket } from 'node:net'
import { WebSocketServer } from 'ws'
import { type Listening, listen } from '../support/listening.js'
import { SECRET } from '../support/system.js'
import type { Scope } from '../support/temp-dir.js'
import type { TestCertificate } from '../support/test-ca.js'
import { REGISTRIES, type Registry } from './registries/registry.js'

/** A request as the origin got it. */
export interface OriginRequest {
  /** The host that the client asked for. */
  readonly host: string
  readonly path: string
  /** Whether the gateway had injected its credential. */
  readonly hasCredential: boolean
}

/** What an origin is made of. */
export interface OriginOptions {
  /** The loopback address to listen on. */
  readonly address: string
  readonly certificate: TestCertificate
  /** Behind this name nobody gets in without the credential that the gateway injects. */
  readonly guardedHost: string
}

/** A running origin. */
export class Origin {
  readonly requests: OriginRequest[] = []
  /** In every answer: whoever prints it was here. */
  readonly word = `word-${randomBytes(8).toString('hex')}`
  readonly #listening: Listening
  readonly #guardedHost: string
  readonly #registries = new Map<string, Promise<Registry>>()
  readonly #scope: Scope

  private constructor(scope: Scope, server: Http2SecureServer, listening: Listening, guardedHost: string) {
    this.#scope = scope
    this.#listening = listening
    this.#guardedHost = guardedHost
    server.on('request', (request, response) => {
      // A client that goes away in the middle has seen enough.
      this.#answer(request, response).catch(() => response.destroy())
    })
    const webSockets = new WebSocketServer({ noServer: true })
    server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
      if (!this.#admits(request)) socket.end('HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n')
      else webSockets.handleUpgrade(request, socket, head, (webSocket) => webSocket.send(this.word))
    })
  }

  /** The loopback address that it listens on. */
  get host(): string {
    return this.#listening.host
  }

  get port(): number {
    return this.#listening.port
  }

  /** `address:port` */
  get address(): string {
    return this.#listening.address
  }

  /** TCP connections so far. */
  get connections(): number {
    return this.#listening.connections
  }

  /** Starts an origin; it goes with `scope`. */
  static async start(scope: Scope, options: OriginOptions): Promise<Origin> {
    const server = createSecureServer({ ...options.certificate, allowHTTP1: true })
    // The control run of a client that does not trust the origin ends its connection in its own way.
    server.on('sessionError', () => {})
    const listening = await listen(scope, server, options.address)
    return new Origin(scope, server, listening, options.guardedHost)
  }

  /** Ends every connection, for when the client is gone: a connection that it kept open for more would keep its tunnel. */
  closeConnections(): void {
    this.#listening.closeConnections()
  }

  /** Writes the request down; whether it may see anything. */
  #admits(request: Pick<IncomingMessage, 'headers' | 'url'>): boolean {
    const host = hostOf(request)
    const hasCredential = request.headers.authorization === `Bearer ${SECRET}`
    this.requests.push({ host, path: request.url ?? '', hasCredential })
    return hasCredential || host !== this.#guardedHost
  }

  async #answer(request: Http2ServerRequest, response: Http2ServerResponse): Promise<void> {
    if (!this.#admits(request)) {
      request.resume()
      response.writeHead(401, { 'WWW-Authenticate': 'Bearer' }).end()
      return
    }
    const base = `https://${hostOf(request)}`
    const url = new URL(request.url, base)
    const [, name = ''] = url.pathname.split('/')
    const registry = this.#registry(name)
    if (registry === undefined) return this.#answerWord(request, response, url)
    // The compatibility API of node:http2 is what node:http has, for all that the registries use.
    const pair = [request, response] as unknown as [IncomingMessage, ServerResponse]
    await (await registry)({
      request: pair[0],
      response: pair[1],
      base: `${base}/${name}`,
      path: url.pathname.slice(name.length + 1),
    })
  }

  #registry(name: string): Promise<Registry> | undefined {
    const create = REGISTRIES[name]
    if (create === undefined) return undefined
    const made = this.#registries.get(name) ?? Promise.resolve(create({ scope: this.#scope, word: this.word }))
    this.#registries.set(name, made)
    return made
  }

  #answerWord(request: Http2ServerRequest, response: Http2ServerResponse, url: URL): void {
    request.resume()
    if (url.pathname === '/matrix.Greeter/Hello') answerGrpc(response, this.word)
    else if (url.pathname === '/hello') response.writeHead(200, { 'Content-Type': 'text/plain' }).end(`${this.word}\n`)
    else if (url.pathname === '/api/v3/user') {
      response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify({ login: this.word }))
    } else if (url.pathname === '/' && request.method === 'POST') {
      response.writeHead(200, { 'Content-Type': 'text/xml' }).end(callerIdentity(this.word))
    } else response.writeHead(404).end()
  }
}

function hostOf({ headers }: Pick<IncomingMessage, 'headers'>): string {
  return String(headers[':authority'] ?? headers.host ?? '')
}

/** One message without compression, and the status in the trailers. */
function answerGrpc(response: Http2ServerResponse, word: string): void {
  const message = Buffer.from(word)
  const prefix = Buffer.alloc(5)
  prefix.writeUInt32BE(message.length, 1)
  response.writeHead(200, { 'Content-Type': 'application/grpc' })
  response.addTrailers({ 'grpc-status': '0' })
  response.end(Buffer.concat([prefix, message]))
}

function callerIdentity(word: string): string {
  const result = `<Arn>arn:aws:iam::123456789012:user/${word}</Arn><UserId>${word}</UserId><Account>123456789012</Account>`
  return `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>${result}</GetCallerIdentityResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></GetCallerIdentityResponse>`
}
