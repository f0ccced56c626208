// The adapter for Node: node:net towards the clients, `ws` and node:tls towards the gateway.
//
// Rules: a listener is installed once a socket, never once a message. Foreign errors become ours here, by their code.

import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { type AddressInfo, createServer, isIP, connect as netConnect, type Server, type Socket } from 'node:net'
import { createSecureContext, type SecureContext, connect as tlsConnect } from 'node:tls'
import { type ClientOptions, WebSocket } from 'ws'
import { type ErrorCode, systemCode, UpstreamProxyError } from '../errors.js'
import type {
  ClientConnection,
  ClientHandler,
  DownloadedAnswer,
  DownloadOptions,
  GatewayDialer,
  GatewayEndpoint,
  GatewayHandler,
  GatewaySocket,
  Listener,
  Runtime,
  Trust,
} from './runtime.js'

/** The runtime adapter for Node. */
export const nodeRuntime: Runtime = { listen, createTrust, createGatewayDialer, download }

// -- Clients -----------------------------------------------------------------------------------------------------------

/** The only address that is ever listened on: a name could resolve to one that another process holds. */
const LISTEN_HOST = '127.0.0.1'

function listen(
  port: number,
  highWaterMarkBytes: number,
  accept: (client: ClientConnection) => ClientHandler,
): Promise<Listener> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    const client = new NodeClientConnection(socket, highWaterMarkBytes)
    client.start(accept(client))
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

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    if (!server.listening) return resolve()
    server.close(() => resolve())
  })
}

class NodeClientConnection implements ClientConnection {
  readonly #socket: Socket
  readonly #highWaterMarkBytes: number

  constructor(socket: Socket, highWaterMarkBytes: number) {
    this.#socket = socket
    this.#highWaterMarkBytes = highWaterMarkBytes
  }

  start(handler: ClientHandler): void {
    this.#socket
      // 'close' follows and says all that there is to say.
      .on('error', () => {})
      .on('data', (bytes: Buffer) => handler.clientOnData(bytes))
      .on('end', () => handler.clientOnEnd())
      .on('drain', () => handler.clientOnDrain())
      .on('finish', () => handler.clientOnFinish())
      .on('close', () => handler.clientOnClose())
  }

  get queuedBytes(): number {
    return this.#socket.writableLength
  }

  write(bytes: Uint8Array): boolean {
    if (!this.#socket.writable) return true
    return this.#socket.write(bytes) || this.#socket.writableLength < this.#highWaterMarkBytes
  }

  pauseReading(): void {
    this.#socket.pause()
  }

  resumeReading(): void {
    this.#socket.resume()
  }

  endWriting(): void {
    this.#socket.end()
  }

  close(): void {
    this.#socket.destroy()
  }

  reset(): void {
    this.#socket.resetAndDestroy()
  }
}

// -- The gateway -------------------------------------------------------------------------------------------------------

/** Milliseconds that one address of a name gets before the next is tried. Node's 250 make far hosts unreachable. */
const ADDRESS_ATTEMPT_TIMEOUT_MS = 2_500
/** Milliseconds that the gateway gets to answer our Close frame. */
const CLOSE_TIMEOUT_MS = 5_000

function createGatewayDialer(endpoint: GatewayEndpoint): GatewayDialer {
  return new NodeGatewayDialer(endpoint)
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
      createConnection: (() => connectTo(url, this.#endpoint.trust)) as typeof netConnect,
    }
    const socket = new WebSocket(url, options)
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    return new NodeGatewaySocket(socket, this.#endpoint, handler)
  }

  async close(): Promise<void> {
    const closed = Array.from(this.#sockets, (socket) => once(socket, 'close'))
    for (const socket of this.#sockets) socket.terminate()
    await Promise.all(closed)
  }
}

/** One TLS context for all connections: parsing a system bundle blocks the event loop for up to 26 ms. */
class NodeTrust implements Trust {
  readonly trust: SecureContext

  constructor(certificates: string | undefined) {
    this.trust = createSecureContext(certificates === undefined ? {} : { ca: certificates })
  }
}

function createTrust(certificates: string | undefined): Trust {
  return new NodeTrust(certificates)
}

function connectTo(url: URL, trust: Trust): Socket {
  const isSecure = url.protocol === 'wss:' || url.protocol === 'https:'
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const options = {
    host,
    port: Number(url.port || (isSecure ? 443 : 80)),
    noDelay: true,
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: ADDRESS_ATTEMPT_TIMEOUT_MS,
  }
  if (!isSecure) return netConnect(options)
  return tlsConnect({
    ...options,
    secureContext: (trust as NodeTrust).trust,
    // Said here, so that NODE_TLS_REJECT_UNAUTHORIZED has no say.
    rejectUnauthorized: true,
    ALPNProtocols: ['http/1.1'],
    ...(isIP(host) === 0 ? { servername: host } : {}),
  })
}

class NodeGatewaySocket implements GatewaySocket {
  readonly #socket: WebSocket
  readonly #endpoint: GatewayEndpoint
  readonly #handler: GatewayHandler
  #isWaiting = false
  #isLetGo = false

  constructor(socket: WebSocket, endpoint: GatewayEndpoint, handler: GatewayHandler) {
    this.#socket = socket
    this.#endpoint = endpoint
    this.#handler = handler
    socket.binaryType = 'nodebuffer'
    socket
      .on('open', () => this.#tell(() => handler.gatewayOnOpen()))
      .on('message', this.#onMessage)
      .on('unexpected-response', (request, response) => {
        request.destroy()
        this.#fail(refusedUpgrade(response))
      })
      .on('error', (error) => this.#fail(socketError(error, socket.readyState === WebSocket.CONNECTING)))
      .on('close', (code) => this.#tell(() => handler.gatewayOnClose({ code })))
  }

  send(message: Uint8Array): boolean {
    if (this.#socket.readyState !== WebSocket.OPEN) return true
    this.#socket.send(message, this.#onSent)
    this.#isWaiting = this.#socket.bufferedAmount >= this.#endpoint.highWaterMarkBytes
    return !this.#isWaiting
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
    if (isBinary) this.#handler.gatewayOnMessage(data as Buffer)
    else this.#fail(new UpstreamProxyError('gateway-protocol-error', 'the gateway sent text', { side: 'remote' }))
  }

  readonly #onSent = (): void => {
    if (!this.#isWaiting || this.#socket.bufferedAmount > this.#endpoint.lowWaterMarkBytes) return
    this.#isWaiting = false
    this.#tell(() => this.#handler.gatewayOnDrain())
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

function refusedUpgrade(response: IncomingMessage): UpstreamProxyError {
  const { statusCode = 0 } = response
  return new UpstreamProxyError(upgradeRefusalCode(statusCode), `the gateway answered the upgrade with ${statusCode}`, {
    side: 'remote',
  })
}

function upgradeRefusalCode(status: number): ErrorCode {
  if (status === 401 || status === 403) return 'gateway-token-refused'
  if (status === 429 || status === 503) return 'gateway-overloaded'
  return 'gateway-upgrade-refused'
}

function socketError(error: Error, isConnecting: boolean): UpstreamProxyError {
  const code = systemCode(error)
  if (!isConnecting) {
    return new UpstreamProxyError('gateway-protocol-error', `the WebSocket broke (${code || error.name})`, {
      side: 'remote',
    })
  }
  return dialError(code, 'the answer to the upgrade is not valid')
}

function dialError(code: string, detail: string): UpstreamProxyError {
  const message = `the gateway cannot be reached (${code || detail})`
  return new UpstreamProxyError(dialFailureCode(code), message, { side: 'remote' })
}

function dialFailureCode(code: string): ErrorCode {
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN' || code === 'EAI_FAIL' || code === 'ENODATA')
    return 'gateway-dns-failed'
  if (code === 'EMFILE' || code === 'ENFILE') return 'descriptors-exhausted'
  if (isTlsCode(code)) return 'gateway-tls-failed'
  return code === '' || code.startsWith('HPE_') ? 'gateway-upgrade-refused' : 'gateway-unreachable'
}

/** OpenSSL's names for a certificate that does not verify (openssl-verify(1)), and Node's own for TLS failures. */
function isTlsCode(code: string): boolean {
  return /^(?:ERR_TLS_|ERR_SSL_|EPROTO$|CERT_|CRL_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|INVALID_CA|HOSTNAME_MISMATCH)/.test(
    code,
  )
}

// -- The CA download ---------------------------------------------------------------------------------------------------

function download(url: URL, options: DownloadOptions): Promise<DownloadedAnswer> {
  return new Promise((resolve, reject) => {
    const send = url.protocol === 'https:' ? httpsRequest : httpRequest
    const requestOptions: RequestOptions = {
      method: 'GET',
      agent: false,
      headers: { Accept: 'application/x-pem-file, text/plain', Connection: 'close' },
      createConnection: () => connectTo(url, options.trust),
    }
    const request = send(url, requestOptions, (response) => {
      collect(response, options.maxBytes).then((body) => {
        clearTimeout(timer)
        resolve({ status: response.statusCode ?? 0, location: response.headers.location, body })
      }, fail)
    })
    const fail = (error: unknown): void => {
      clearTimeout(timer)
      request.destroy()
      reject(error instanceof UpstreamProxyError ? error : dialError(systemCode(error), 'no valid HTTP answer'))
    }
    const timer = setTimeout(() => {
      fail(new UpstreamProxyError('ca-timeout', `${url.host} did not serve its CA within ${options.timeoutMs} ms`))
    }, options.timeoutMs)
    request.on('error', fail).end()
  })
}

async function collect(response: IncomingMessage, maxBytes: number): Promise<Uint8Array> {
  const pieces: Buffer[] = []
  let length = 0
  for await (const piece of response as AsyncIterable<Buffer>) {
    length += piece.length
    if (length > maxBytes) throw new UpstreamProxyError('ca-invalid', `the answer is longer than ${maxBytes} bytes`)
    pieces.push(piece)
  }
  if (!response.complete) throw new UpstreamProxyError('gateway-unreachable', 'the CA download was cut off')
  return Buffer.concat(pieces)
}
