// The adapter for Node: node:net towards the clients, `ws` and node:tls towards the gateway.
//
// Rules: a listener is installed once a socket, never once a message. Foreign errors become ours in failures.ts.

import type { RequestOptions } from 'node:http'
import { type AddressInfo, createServer, type connect as netConnect, type Server, type Socket } from 'node:net'
import { type ClientOptions, WebSocket } from 'ws'
import { systemCode, UpstreamProxyError } from '../errors.js'
import { type Authority, formatAuthority } from '../protocol/authority.js'
import { ChunkDecodeError, decodeChunk } from '../protocol/chunk.js'
import { download } from './download.js'
import { dialFailed, faultReceived, socketBroke, targetFailed, upgradeRefused } from './failures.js'
import { NodeConnection } from './node-connection.js'
import { connectPlain, connectTo, NodeTrust } from './node-dial.js'
import { FrameWriter } from './node-upload.js'
import type {
  Connection,
  GatewayDialer,
  GatewayEndpoint,
  GatewayHandler,
  GatewaySocket,
  Listener,
  Route,
  Runtime,
} from './runtime.js'

/** The runtime adapter for Node. */
export const nodeRuntime: Runtime = {
  listen,
  connect,
  createTrust: (certificates) => new NodeTrust(certificates),
  createGatewayDialer: (endpoint) => new NodeGatewayDialer(endpoint),
  download: (url, route, limits) => download(url, { createConnection: connector(url, route) }, limits),
}

// -- TCP -----------------------------------------------------------------------------------------------------------

/** The only address that is ever listened on: a name could resolve to one that another process holds. */
const LISTEN_HOST = '127.0.0.1'

function listen(port: number, highWaterMarkBytes: number, accept: (client: Connection) => void): Promise<Listener> {
  const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (socket) => {
    accept(new NodeConnection(socket, highWaterMarkBytes))
  })
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      reject(new UpstreamProxyError('listen-failed', `cannot listen on ${LISTEN_HOST}:${port} (${systemCode(error)})`))
    })
    server.listen({ host: LISTEN_HOST, port, backlog: 511 }, () => {
      server.removeAllListeners('error')
      // Out of descriptors while accepting: the clients wait in the backlog, the listener stays.
      server.on('error', () => {})
      resolve({ port: (server.address() as AddressInfo).port, close: () => closeServer(server) })
    })
  })
}

async function connect(
  target: Authority,
  route: Route,
  highWaterMarkBytes: number,
  signal: AbortSignal,
): Promise<Connection> {
  const authority = formatAuthority(target)
  try {
    const socket = await connectPlain(authority, route, signal)
    // The reading of connections that are few is left to Node.
    return new NodeConnection(socket, highWaterMarkBytes, false)
  } catch (error) {
    throw error instanceof UpstreamProxyError ? error : targetFailed(authority, systemCode(error))
  }
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    if (!server.listening) return resolve()
    server.close(() => resolve())
  })
}

// -- The gateway -------------------------------------------------------------------------------------------------------

/** Milliseconds that the gateway gets to answer our Close frame. */
const CLOSE_TIMEOUT_MS = 5_000

/** What node:http and `ws` take to make a connection; node:http's asynchronous form is missing in the types of both. */
function connector(url: URL, route: Route): NonNullable<RequestOptions['createConnection']> & typeof netConnect {
  const connect = (_options: unknown, connected: (error: Error | null, socket?: Socket) => void): Socket | undefined =>
    connectTo(url, route, connected)
  return connect as unknown as NonNullable<RequestOptions['createConnection']> & typeof netConnect
}

class NodeGatewayDialer implements GatewayDialer {
  readonly #endpoint: GatewayEndpoint
  readonly #sockets = new Set<WebSocket>()

  constructor(endpoint: GatewayEndpoint) {
    this.#endpoint = endpoint
  }

  dial(url: URL, headers: Readonly<Record<string, string>>, handler: GatewayHandler): GatewaySocket {
    const options: ClientOptions & { closeTimeout: number } = {
      headers,
      // The upload is ciphertext: compression costs memory and gains nothing.
      perMessageDeflate: false,
      maxPayload: this.#endpoint.maxReceivedMessageBytes,
      closeTimeout: CLOSE_TIMEOUT_MS,
      followRedirects: false,
      createConnection: connector(url, this.#endpoint),
    }
    const socket = new WebSocket(url, options)
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    return new NodeGatewaySocket(socket, this.#endpoint, handler)
  }

  async close(): Promise<void> {
    // Not once(): a socket that was still connecting has an error first.
    const closed = Array.from(this.#sockets, (socket) => new Promise((resolve) => socket.once('close', resolve)))
    for (const socket of this.#sockets) socket.terminate()
    await Promise.all(closed)
  }
}

class NodeGatewaySocket implements GatewaySocket {
  readonly #socket: WebSocket
  readonly #endpoint: GatewayEndpoint
  #handler: GatewayHandler
  readonly #writer: FrameWriter
  #isWaiting = false
  #hasOpened = false
  #isLetGo = false

  constructor(socket: WebSocket, endpoint: GatewayEndpoint, handler: GatewayHandler) {
    this.#socket = socket
    this.#endpoint = endpoint
    this.#handler = handler
    this.#writer = new FrameWriter(socket, endpoint.maxSentMessageBytes, () => this.#onSent())
    socket.binaryType = 'nodebuffer'
    socket
      .on('open', () => {
        this.#hasOpened = true
        this.#tell(() => this.#handler.gatewayOnOpen())
      })
      .on('message', this.#onMessage)
      .on('pong', () => this.#tell(() => this.#handler.gatewayOnPong()))
      .on('unexpected-response', (request, response) => {
        request.destroy()
        this.#fail(upgradeRefused(response.statusCode ?? 0))
      })
      .on('error', (error) => this.#fail(this.#explain(error)))
      .on('close', (code) => this.#tell(() => this.#handler.gatewayOnClose({ code })))
  }

  get queuedBytes(): number {
    return this.#socket.bufferedAmount
  }

  handTo(handler: GatewayHandler): void {
    this.#handler = handler
  }

  send(payload: Uint8Array): boolean {
    if (this.#socket.readyState !== WebSocket.OPEN) return true
    this.#writer.send(payload)
    this.#isWaiting = this.#socket.bufferedAmount >= this.#endpoint.highWaterMarkBytes
    return !this.#isWaiting
  }

  ping(): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.ping()
  }

  pong(): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.pong()
  }

  pauseReading(): void {
    this.#socket.pause()
  }

  resumeReading(): void {
    this.#socket.resume()
  }

  close(): void {
    this.#isLetGo = true
    if (this.#socket.readyState === WebSocket.CONNECTING) this.#socket.terminate()
    else this.#socket.close(1000)
  }

  terminate(): void {
    this.#isLetGo = true
    this.#socket.terminate()
  }

  readonly #onMessage = (data: WebSocket.RawData, isBinary: boolean): void => {
    if (this.#isLetGo) return
    if (!isBinary) {
      this.#fail(faultReceived({ closeCode: 1003, detail: 'text' }))
      return
    }
    try {
      for (const payload of decodeChunk(data as Buffer)) this.#tell(() => this.#handler.gatewayOnData(payload))
    } catch (error) {
      if (!(error instanceof ChunkDecodeError)) throw error
      this.#fail(faultReceived({ closeCode: 1007, detail: `a chunk that does not parse: ${error.message}` }))
    }
  }

  #onSent(): void {
    if (!this.#isWaiting || this.#socket.bufferedAmount > this.#endpoint.lowWaterMarkBytes) return
    this.#isWaiting = false
    this.#tell(() => this.#handler.gatewayOnDrain())
  }

  #explain(error: Error): UpstreamProxyError {
    if (error instanceof UpstreamProxyError) return error
    const code = systemCode(error)
    return this.#hasOpened ? socketBroke(code || error.name) : dialFailed(code)
  }

  /** The first failure is the last word of the socket. */
  #fail(error: UpstreamProxyError): void {
    this.#tell(() => this.#handler.gatewayOnFailure(error))
    this.terminate()
  }

  #tell(event: () => void): void {
    if (!this.#isLetGo) event()
  }
}
