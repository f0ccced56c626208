// The other end of the wire, for tests: a plain `ws` client with protobufjs as the judge of the chunks. It shares no
// code with the gateway or the relay.

import { isIP } from 'node:net'
import { Duplex } from 'node:stream'
import { type ConnectionOptions, checkServerIdentity, connect as connectTls, type TLSSocket } from 'node:tls'
import protobuf from 'protobufjs'
import { WebSocket } from 'ws'

const { root } = protobuf.parse('syntax = "proto3"; message UpstreamProxyChunk { bytes data = 1; bool end = 2; }')
const UpstreamProxyChunk = root.lookupType('UpstreamProxyChunk')

interface Chunk {
  readonly data: Uint8Array
  readonly end: boolean
}

export function encode(data: Uint8Array): Uint8Array {
  return UpstreamProxyChunk.encode({ data }).finish()
}

/** The chunk that ends a direction. */
const END = UpstreamProxyChunk.encode({ end: true }).finish()

function decode(message: Uint8Array): Chunk {
  return UpstreamProxyChunk.decode(message) as unknown as Chunk
}

export interface Credentials {
  readonly session: string
  readonly token: string
}

/** How the endpoint answered an upgrade that it refused. */
export interface UpgradeRefusal {
  readonly status: number
  readonly headers: Record<string, string | string[] | undefined>
  readonly body: string
}

/** Opens the WebSocket; resolves with how it was refused when it was. */
export function upgrade(
  url: string,
  headers: Record<string, string>,
  ca?: string,
): Promise<WebSocket | UpgradeRefusal> {
  const socket = new WebSocket(url, { headers, perMessageDeflate: false, ...(ca !== undefined && { ca }) })
  return new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.once('open', () => resolve(socket))
    socket.once('unexpected-response', (_request, response) => {
      response.setEncoding('utf8')
      let body = ''
      response.on('data', (text: string) => {
        body += text
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }))
    })
  })
}

/** The bytes of one tunnel, with back-pressure. `closeCode` resolves when the WebSocket is closed. */
export class WireStream extends Duplex {
  readonly socket: WebSocket
  readonly closeCode: Promise<number>
  /** Sizes of the messages received. */
  readonly messageSizes: number[] = []
  /** Whether the WebSocket stays open when the gateway ends its direction. */
  staysOpen = false
  /** Whether the gateway has ended its direction, and the WebSocket stays open. */
  hasGatewayEnded = false

  constructor(socket: WebSocket) {
    // Half open: node's TLS drops what it has not handed on yet when the stream under it closes by itself.
    super({ allowHalfOpen: true })
    this.socket = socket
    this.on('error', () => {})
    this.closeCode = new Promise((resolve) => socket.on('close', resolve))
    socket.on('message', (data: Buffer) => {
      this.messageSizes.push(data.length)
      const { data: payload, end } = decode(data)
      if (payload.length > 0 && !this.push(Buffer.from(payload))) socket.pause()
      if (end) this.#onGatewayEnd()
    })
    socket.on('close', () => {
      if (!this.hasGatewayEnded) this.push(null)
    })
    socket.on('error', (error) => this.destroy(error))
  }

  #onGatewayEnd(): void {
    if (!this.staysOpen) {
      this.socket.close(1000)
      return
    }
    this.hasGatewayEnded = true
    this.push(null)
  }

  override _read(): void {
    if (this.socket.isPaused) this.socket.resume()
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, callback: (error?: Error) => void): void {
    for (let at = 0; at < bytes.length; at += 30_000) {
      const isLast = at + 30_000 >= bytes.length
      this.socket.send(encode(bytes.subarray(at, at + 30_000)), isLast ? callback : () => {})
    }
  }

  /** Ends the direction to the gateway alone. */
  endSending(): void {
    this.socket.send(END)
  }

  override _final(callback: () => void): void {
    this.socket.close(1000)
    this.socket.resume()
    callback()
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.socket.terminate()
    callback(error)
  }
}

export function connectHead(authority: string, credentials: Credentials): string {
  const basic = Buffer.from(`${credentials.session}:${credentials.token}`).toString('base64')
  return `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\nProxy-Authorization: Basic ${basic}\r\n\r\n`
}

/** Opens a WebSocket without sending a head; `ca` is for a gateway with TLS of its own. */
export async function openWire(tunnelUrl: string, token: string, ca?: string): Promise<WireStream> {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/proto' }
  const socket = await upgrade(tunnelUrl, headers, ca)
  if (!(socket instanceof WebSocket)) throw new Error(`the upgrade was refused with ${socket.status}`)
  return new WireStream(socket)
}

/** What the gateway answered to a CONNECT. */
export interface ConnectAnswer {
  readonly stream: WireStream
  readonly status: number
  /** The head, and with a refusal the body too. */
  readonly text: string
}

/** Sends a head (or whatever it is) and reads the answer. */
export async function sendHead(tunnelUrl: string, token: string, head: string, ca?: string): Promise<ConnectAnswer> {
  const stream = await openWire(tunnelUrl, token, ca)
  stream.write(head)
  return readAnswer(stream)
}

export async function readAnswer(stream: WireStream): Promise<ConnectAnswer> {
  let bytes = Buffer.alloc(0)
  while (!bytes.includes('\r\n\r\n')) bytes = Buffer.concat([bytes, await nextBytes(stream)])
  const status = Number(bytes.toString('latin1').split(' ', 2)[1])
  if (status === 200) {
    const end = bytes.indexOf('\r\n\r\n') + 4
    if (end < bytes.length) stream.unshift(bytes.subarray(end))
    return { stream, status, text: bytes.toString('latin1', 0, end) }
  }
  const rest = await readAll(stream)
  return { stream, status, text: Buffer.concat([bytes, rest]).toString('latin1') }
}

/** CONNECT with the right credentials. */
export function connect(
  tunnelUrl: string,
  credentials: Credentials,
  authority: string,
  ca?: string,
): Promise<ConnectAnswer> {
  return sendHead(tunnelUrl, credentials.token, connectHead(authority, credentials), ca)
}

function nextBytes(stream: Duplex): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const onReadable = () => {
      const bytes = stream.read() as Buffer | null
      if (bytes === null) return
      stop()
      resolve(bytes)
    }
    const onEnd = () => {
      stop()
      reject(new Error('the stream ended'))
    }
    const stop = () => stream.off('readable', onReadable).off('end', onEnd).off('close', onEnd)
    stream.on('readable', onReadable).on('end', onEnd).on('close', onEnd)
    onReadable()
  })
}

/** Everything until the end; an error ends it too. */
export async function readAll(stream: Duplex): Promise<Buffer> {
  const pieces: Buffer[] = []
  try {
    for await (const bytes of stream) pieces.push(bytes as Buffer)
  } catch {
    // What came before is what the test looks at.
  }
  return Buffer.concat(pieces)
}

/** Without a server name the certificate is still verified, for `host`: an empty one keeps node from sending it. */
function verifiedName(servername: string | undefined, host: string): ConnectionOptions {
  if (servername !== undefined) return { servername }
  return isIP(host) === 0
    ? { servername: '', checkServerIdentity: (_name, certificate) => checkServerIdentity(host, certificate) }
    : { host }
}

/** TLS through a tunnel, verified against `ca`; without a server name for `host`. */
export function startTls(
  stream: Duplex,
  ca: string,
  servername: string | undefined,
  protocols?: string[],
  host = '127.0.0.1',
): Promise<TLSSocket> {
  const secured = connectTls({
    socket: stream,
    ca,
    ...(protocols !== undefined && { ALPNProtocols: protocols }),
    ...verifiedName(servername, host),
  })
  return new Promise((resolve, reject) => {
    secured.once('error', reject)
    secured.once('close', () => reject(new Error('closed during the handshake')))
    secured.once('secureConnect', () => {
      secured.off('error', reject)
      secured.on('error', () => {})
      resolve(secured)
    })
  })
}
