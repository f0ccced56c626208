// A client's end of a tunnel over bare TCP: it costs a fraction of a WebSocket library's, and can send what that would not. It shares no
// code with the gateway. What the gateway sends has to be RFC 6455 and the wire's own format to the letter.

import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { type Credentials, connectHead } from '../wire-client.js'

const HEAD_END = '\r\n\r\n'
/** The most that one message holds without the length of eight bytes; the wire takes fewer. */
const MAX_PAYLOAD = 30_000

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const

/** The request for a WebSocket. */
export function upgradeHead(token: string): Buffer {
  const fields = [
    'GET /upstreamproxy/ws HTTP/1.1',
    'Host: 127.0.0.1',
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    `Authorization: Bearer ${token}`,
    'Content-Type: application/proto',
  ]
  return Buffer.from(`${fields.join('\r\n')}${HEAD_END}`)
}

/** A whole frame of a client (RFC 6455, section 5.2); its masking key is zero, which masks nothing. */
export function encodeClientFrame(opcode: number, payload: Uint8Array): Buffer {
  const { length } = payload
  const head = length < 126 ? Buffer.from([0, 0x80 | length]) : Buffer.from([0, 0x80 | 126, length >> 8, length & 0xff])
  head[0] = 0x80 | opcode
  return Buffer.concat([head, Buffer.alloc(4), payload])
}

/** `UpstreamProxyChunk { data }`. */
export function encodeDataChunk(data: Uint8Array): Buffer {
  const length: number[] = []
  for (let rest = data.length; rest > 0 || length.length === 0; rest >>= 7) length.push((rest & 0x7f) | 0x80)
  length[length.length - 1] = (length.at(-1) as number) & 0x7f
  return Buffer.concat([Buffer.from([0x0a, ...length]), data])
}

/** The message of a CONNECT. */
export function connectFrame(host: string, credentials: Credentials): Buffer {
  const head = Buffer.from(connectHead(`${host}:443`, credentials))
  return encodeClientFrame(OPCODE.binary, encodeDataChunk(head))
}

type TunnelState = 'upgrade' | 'connect' | 'open'

/** The bytes of one tunnel. */
export class TunnelSocket extends Duplex {
  /** Resolves with the status of the answer to the CONNECT; rejects when there is none. */
  readonly connected: Promise<number>
  /** What the gateway sent that it must not. */
  violation: Error | undefined
  readonly #socket: Socket
  #state: TunnelState = 'upgrade'
  #received: Buffer = Buffer.alloc(0)
  #head: Buffer = Buffer.alloc(0)
  #settle: { readonly resolve: (status: number) => void; readonly reject: (error: Error) => void } | undefined

  constructor(port: number, host: string, credentials: Credentials) {
    // Half open: node's TLS drops what it has not handed on yet when the stream under it closes by itself.
    super({ allowHalfOpen: true })
    this.on('error', () => {})
    this.connected = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
    })
    this.connected.catch(() => {})
    this.#socket = connect(port, '127.0.0.1').setNoDelay(true)
    this.#socket
      .on('data', (bytes: Buffer) => this.#take(bytes))
      .on('error', () => {})
      .once('close', () => {
        this.#settle?.reject(new Error(`the tunnel was closed (${this.#state})`))
        this.push(null)
      })
    this.#socket.write(Buffer.concat([upgradeHead(credentials.token), connectFrame(host, credentials)]))
  }

  /** Bytes below the messages. */
  writeRaw(bytes: Uint8Array): void {
    this.#socket.write(bytes)
  }

  /** The end of what is sent, and no more than that. */
  endSending(): void {
    this.writeRaw(encodeClientFrame(OPCODE.binary, Buffer.from([0x10, 1])))
  }

  /** A RST. */
  reset(): void {
    this.#socket.resetAndDestroy()
  }

  #take(bytes: Buffer): void {
    this.#received = this.#received.length === 0 ? bytes : Buffer.concat([this.#received, bytes])
    try {
      if (this.#state === 'upgrade' && !this.#takeUpgrade()) return
      while (this.#takeFrame());
    } catch (error) {
      this.violation = error as Error
      this.#settle?.reject(this.violation)
      this.destroy()
    }
  }

  #takeUpgrade(): boolean {
    const end = this.#received.indexOf(HEAD_END)
    if (end < 0) return false
    const head = this.#received.toString('latin1', 0, end)
    assert.match(head, /^HTTP\/1\.1 101 /)
    this.#received = this.#received.subarray(end + HEAD_END.length)
    this.#state = 'connect'
    return true
  }

  #takeFrame(): boolean {
    const bytes = this.#received
    if (bytes.length < 2) return false
    const [first, short] = [bytes[0] as number, bytes[1] as number]
    assert.ok(short <= 126, 'a frame of a server is not masked, and below 64 KiB')
    const start = short < 126 ? 2 : 4
    if (bytes.length < start) return false
    const end = start + (short < 126 ? short : bytes.readUInt16BE(2))
    if (bytes.length < end) return false
    this.#received = bytes.subarray(end)
    this.#takeMessage(first, bytes.subarray(start, end))
    return true
  }

  #takeMessage(first: number, payload: Buffer): void {
    if (first === (0x80 | OPCODE.pong)) return
    if (first === (0x80 | OPCODE.close)) {
      this.#socket.end(encodeClientFrame(OPCODE.close, payload.subarray(0, 2)))
      return
    }
    assert.equal(first, 0x80 | OPCODE.binary, 'a message is binary and whole')
    this.#takeData(decodeDataChunk(payload))
  }

  #takeData(data: Buffer): void {
    if (this.#state === 'open') {
      if (data.length > 0 && !this.push(data)) this.#socket.pause()
      return
    }
    this.#head = Buffer.concat([this.#head, data])
    const end = this.#head.indexOf(HEAD_END)
    if (end < 0) return
    this.#state = 'open'
    const [, status] = /^HTTP\/1\.1 (\d\d\d) /.exec(this.#head.toString('latin1', 0, end)) ?? []
    assert.ok(status !== undefined, 'CONNECT is answered with a status line')
    this.#settle?.resolve(Number(status))
    this.#takeData(this.#head.subarray(end + HEAD_END.length))
  }

  override _read(): void {
    this.#socket.resume()
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    const frames: Buffer[] = []
    for (let at = 0; at < bytes.length; at += MAX_PAYLOAD) {
      frames.push(encodeClientFrame(OPCODE.binary, encodeDataChunk(bytes.subarray(at, at + MAX_PAYLOAD))))
    }
    this.#socket.write(Buffer.concat(frames), callback)
  }

  override _final(callback: () => void): void {
    this.#socket.write(encodeClientFrame(OPCODE.close, Buffer.from([3, 232])))
    callback()
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#socket.destroy()
    callback(error)
  }
}

/** The data of a chunk; a gateway's are the one field, or nothing, and in the end the other. */
function decodeDataChunk(message: Buffer): Buffer {
  if (message.length === 0 || message[0] === 0x10) return message.subarray(message.length)
  assert.equal(message[0], 0x0a, 'a chunk begins with its data')
  let [length, at, shift] = [0, 1, 0]
  for (;;) {
    const byte = message[at++]
    assert.ok(byte !== undefined, 'a length is whole')
    length |= (byte & 0x7f) << shift
    shift += 7
    if (byte < 0x80) break
  }
  assert.equal(message.length, at + length, 'a chunk is as long as it says')
  return message.subarray(at)
}
