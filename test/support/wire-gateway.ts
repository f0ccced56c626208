// The gateway's end of the wire, for tests of the relay: real TLS, a plain `ws` server, and chunks written and read by protobufjs.
// It shares no code with the package. It remembers what came, and each test scripts what it answers.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import protobuf from 'protobufjs'
import { WebSocket, WebSocketServer } from 'ws'
import { ByteInbox } from './byte-inbox.js'
import type { Digest } from './deterministic-bytes.js'
import { createTestCa, type TestCertificate } from './test-ca.js'

const Chunk = protobuf.Root.fromJSON({
  nested: { UpstreamProxyChunk: { fields: { data: { type: 'bytes', id: 1 }, end: { type: 'bool', id: 2 } } } },
}).lookupType('UpstreamProxyChunk')

/** One message that carries `data`. */
export function encodeWireChunk(data: Uint8Array): Uint8Array {
  return Chunk.encode({ data }).finish()
}

interface WireChunk {
  readonly data: Uint8Array
  readonly end: boolean
}

function decodeWireChunk(message: Uint8Array): WireChunk {
  return Chunk.decode(message) as unknown as WireChunk
}

/** The answer that opens a tunnel. */
export const OPENING = 'HTTP/1.1 200 Connection established\r\n\r\n'

/** Bytes of the sender that may wait inside this process. */
const SEND_WINDOW_BYTES = 1024 * 1024

/** One tunnel: its WebSocket is open, its CONNECT head has come. */
export class GatewayTunnel {
  readonly request: IncomingMessage
  readonly socket: WebSocket
  /** The TCP connection underneath. */
  readonly transport: Socket
  /** Sizes of the messages, in order. */
  readonly messageSizes: number[] = []
  /** The payload of the first message. */
  firstPayload: Buffer | undefined
  /** The CONNECT head with its empty line, as it came. */
  head = ''
  /** Close code that the relay's end came with; 1006 without a Close frame. */
  readonly closed: Promise<number>
  /** Resolves when the relay has ended its direction alone. */
  readonly ended: Promise<void>
  readonly #inbox = new ByteInbox()
  #onEnd: () => void = () => {}

  constructor(request: IncomingMessage, socket: WebSocket, transport: Socket) {
    this.request = request
    this.socket = socket
    this.transport = transport
    this.ended = new Promise((resolve) => {
      this.#onEnd = resolve
    })
    socket.on('error', () => {})
    socket.on('message', (message: Buffer, isBinary) => {
      assert.ok(isBinary)
      this.messageSizes.push(message.length)
      const { data, end } = decodeWireChunk(message)
      if (end) this.#onEnd()
      const payload = Buffer.from(data)
      this.firstPayload ??= payload
      this.#inbox.push(payload)
    })
    this.closed = new Promise((resolve) => {
      socket.on('close', (code) => {
        this.#inbox.end(`close code ${code}`)
        resolve(code)
      })
    })
  }

  /** `host:port` of the CONNECT. */
  get target(): string {
    return /^CONNECT (\S+) /.exec(this.head)?.[1] ?? ''
  }

  /** Payload bytes received so far, the head among them. */
  get received(): number {
    return this.#inbox.total
  }

  /** Reads the CONNECT head; false when the WebSocket ended without a byte. */
  async readHead(): Promise<boolean> {
    await Promise.race([this.#inbox.reached(1).catch(() => {}), this.closed])
    if (this.received === 0) return false
    this.head = await this.#inbox.takeUntil('\r\n\r\n')
    return true
  }

  take(count: number): Promise<Buffer> {
    return this.#inbox.take(count)
  }

  reached(count: number): Promise<void> {
    return this.#inbox.reached(count)
  }

  rest(): Promise<Buffer> {
    return this.#inbox.rest()
  }

  digest(count?: number): Promise<Digest> {
    return this.#inbox.digest(count)
  }

  /** Sends `data` as one chunk. */
  send(data: string | Uint8Array): void {
    this.sendMessage(encodeWireChunk(typeof data === 'string' ? Buffer.from(data, 'latin1') : data))
  }

  /** Sends `message` as it is, in one binary message. */
  sendMessage(message: Uint8Array): void {
    this.socket.send(message)
  }

  /** Ends this direction alone. */
  endSending(): void {
    this.sendMessage(Chunk.encode({ end: true }).finish())
  }

  /** Answers the CONNECT with 200. */
  open(): void {
    this.send(OPENING)
  }

  /** Sends a stream in chunks of `chunkBytes`, no faster than it is taken. Ends early when the WebSocket does. */
  async sendAll(source: Iterable<Uint8Array>, chunkBytes = 16_384): Promise<void> {
    for (const block of source) {
      for (let at = 0; at < block.length; at += chunkBytes) {
        if (this.socket.readyState !== WebSocket.OPEN) return
        await this.#sendPaced(encodeWireChunk(block.subarray(at, at + chunkBytes)))
      }
    }
  }

  async #sendPaced(message: Uint8Array): Promise<void> {
    if (this.socket.bufferedAmount < SEND_WINDOW_BYTES) {
      this.socket.send(message, () => {})
      return
    }
    await new Promise<void>((resolve) => this.socket.send(message, () => resolve()))
  }

  /** Sends everything back that comes. */
  async echo(): Promise<void> {
    const forward = (message: Buffer): void => this.send(decodeWireChunk(message).data)
    this.socket.on('message', forward)
    await this.closed
  }

  /** Close frame; without a code when it is undefined. Everything sent before goes out before it. */
  close(code?: number): void {
    this.socket.close(code)
  }

  /** FIN without a Close frame, behind everything sent. */
  fin(): void {
    this.socket.terminate()
  }

  /** RST. */
  reset(): void {
    this.transport.resetAndDestroy()
  }

  /** Bytes that are no WebSocket frame, inside TLS. */
  sendRaw(bytes: Uint8Array): void {
    this.request.socket.write(bytes)
  }

  /** Stops reading: the relay's upload piles up. */
  pause(): void {
    this.socket.pause()
  }

  resume(): void {
    this.socket.resume()
  }
}

/** An upgrade request that waits for its answer. */
export interface PendingUpgrade {
  readonly request: IncomingMessage
  accept(): void
  /** Answers with `status` and no upgrade. */
  refuse(status: number, ...fields: string[]): void
}

export class WireGateway {
  /** `wss://127.0.0.1:port/upstreamproxy/ws` */
  readonly url: string
  readonly port: number
  /** PEM of the root that signed the gateway's certificate. */
  readonly rootPem: string
  /** TCP connections so far. */
  connections = 0
  /** TLS handshakes so far, and those among them that went on with an earlier session. */
  handshakes = 0
  resumedHandshakes = 0
  /** Upgrade requests so far. */
  upgrades = 0
  /** What happens to TCP connections before TLS; undefined: nothing. Return true to keep the connection from TLS. */
  onConnection: ((socket: Socket) => boolean) | undefined
  /** What happens to upgrade requests; undefined: they are accepted. */
  onUpgrade: ((upgrade: PendingUpgrade) => void) | undefined
  /** What happens to WebSockets when they are open, before a CONNECT comes; undefined: nothing. */
  onOpen: ((tunnel: GatewayTunnel) => void) | undefined
  /** Scripts by the host of the CONNECT; tunnels to other hosts are for nextTunnel(). */
  readonly scripts = new Map<string, (tunnel: GatewayTunnel) => void | Promise<void>>()
  readonly #servers: readonly [Server, HttpsServer, WebSocketServer]
  readonly #transports = new Map<number, Socket>()
  readonly #tunnels: GatewayTunnel[] = []
  readonly #waiting: Array<{ target: string | undefined; take: (tunnel: GatewayTunnel) => void }> = []
  /** Errors of scripts; close() fails with the first. */
  readonly #failures: unknown[] = []

  constructor(tcp: Server, https: HttpsServer, webSockets: WebSocketServer, rootPem: string) {
    this.#servers = [tcp, https, webSockets]
    this.port = (tcp.address() as AddressInfo).port
    this.url = `wss://127.0.0.1:${this.port}/upstreamproxy/ws`
    this.rootPem = rootPem
    tcp.on('connection', (socket) => this.#acceptConnection(socket, https))
    https.on('secureConnection', (socket) => {
      this.handshakes++
      if (socket.isSessionReused()) this.resumedHandshakes++
    })
    https.on('tlsClientError', (_error, socket) => socket.destroy())
    https.on('upgrade', (request, socket, head) => this.#acceptUpgrade(request, socket, head, webSockets))
  }

  /** The next tunnel that no script takes, to `target` where it is given. */
  nextTunnel(target?: string): Promise<GatewayTunnel> {
    const at = this.#tunnels.findIndex((tunnel) => target === undefined || tunnel.target === target)
    const [tunnel] = at < 0 ? [] : this.#tunnels.splice(at, 1)
    if (tunnel !== undefined) return Promise.resolve(tunnel)
    return new Promise((take) => this.#waiting.push({ target, take }))
  }

  /** Ends everything; fails when a script failed or a tunnel is left that no test asked for. */
  async close(): Promise<void> {
    const [tcp, https, webSockets] = this.#servers
    for (const socket of this.#transports.values()) socket.destroy()
    webSockets.close()
    https.close()
    tcp.close()
    await once(tcp, 'close')
    if (this.#failures.length > 0) throw this.#failures[0]
    assert.deepEqual(
      this.#tunnels.map(({ target }) => target),
      [],
      'tunnels that no test asked for',
    )
  }

  #acceptConnection(socket: Socket, https: HttpsServer): void {
    this.connections++
    const key = socket.remotePort ?? 0
    this.#transports.set(key, socket)
    socket.on('error', () => {})
    socket.on('close', () => this.#transports.delete(key))
    if (this.onConnection?.(socket) !== true) https.emit('connection', socket)
  }

  #acceptUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer, webSockets: WebSocketServer): void {
    this.upgrades++
    socket.on('error', () => {})
    const transport = this.#transports.get(request.socket.remotePort ?? 0)
    // Gone already.
    if (transport === undefined) return
    const accept = (): void => {
      webSockets.handleUpgrade(request, socket, head, (webSocket) => {
        this.#acceptTunnel(new GatewayTunnel(request, webSocket, transport))
      })
    }
    const refuse = (status: number, ...fields: string[]): void => {
      socket.end([`HTTP/1.1 ${status} Refused`, 'Content-Length: 2', ...fields, '', 'no'].join('\r\n'))
    }
    if (this.onUpgrade === undefined) accept()
    else this.onUpgrade({ request, accept, refuse })
  }

  #acceptTunnel(tunnel: GatewayTunnel): void {
    this.onOpen?.(tunnel)
    const dispatch = async (): Promise<void> => {
      // A client that went away meanwhile leaves a WebSocket without a head behind: no tunnel.
      if (!(await tunnel.readHead())) return
      const script = this.scripts.get(tunnel.target.replace(/:[0-9]+$/, ''))
      if (script !== undefined) return script(tunnel)
      const at = this.#waiting.findIndex(({ target }) => target === undefined || target === tunnel.target)
      const [waiting] = at < 0 ? [] : this.#waiting.splice(at, 1)
      if (waiting !== undefined) waiting.take(tunnel)
      else this.#tunnels.push(tunnel)
    }
    dispatch().catch((error: unknown) => this.#failures.push(error))
  }
}

const certificates = new Map<string, Promise<TestCertificate & { readonly rootPem: string }>>()

/** One for all gateways of a name, for it takes longer than the rest. */
function certificateFor(name: string): Promise<TestCertificate & { readonly rootPem: string }> {
  const made = certificates.get(name) ?? makeCertificate(name)
  certificates.set(name, made)
  return made
}

async function makeCertificate(name: string): Promise<TestCertificate & { readonly rootPem: string }> {
  const ca = await createTestCa('wire gateway root')
  return { ...(await ca.serverCertificate(name)), rootPem: ca.rootPem }
}

/** Starts a gateway on a free port of 127.0.0.1. `certificateName` is what its certificate is for. */
export async function startWireGateway(certificateName = '127.0.0.1'): Promise<WireGateway> {
  const { rootPem, ...certificate } = await certificateFor(certificateName)
  const https = createHttpsServer(certificate)
  // An offered extension would be taken, and would show.
  const webSockets = new WebSocketServer({ noServer: true, perMessageDeflate: true, maxPayload: 1024 * 1024 })
  const tcp = createServer({ noDelay: true })
  tcp.listen(0, '127.0.0.1')
  await once(tcp, 'listening')
  return new WireGateway(tcp, https, webSockets, rootPem)
}
