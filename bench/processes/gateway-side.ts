// The gateway of the bench: TLS with a certificate of the test's CA, and behind it either a WebSocket a tunnel or, for relays
// that frame nothing, the CONNECT itself. The host of the CONNECT says what the tunnel is for:
//   sink-TOTAL.bench            counts; says one byte when it has them all
//   source-MESSAGE-TOTAL.bench  after one byte sends TOTAL bytes in messages of MESSAGE bytes
//   flood-MESSAGE.bench         the same without an end
//   echo.bench  once.bench (closes at the first byte)  idle.bench  stall.bench (stops reading)
// It speaks varlock's tunnel too: a line of JSON first, and then the bytes as they are in binary messages.

import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer, type TLSSocket } from 'node:tls'
import {
  acceptUpgrade,
  encodeClose,
  encodeMessage,
  encodeText,
  FrameSkimmer,
  type SkimmerHandler,
} from './frame-skimmer.js'
import { serve } from './serve.js'

interface Start {
  readonly cert: string
  readonly key: string
  /** Served as the gateway's CA. */
  readonly caPem: string
}

/** Payload bytes that one write carries, whatever the messages are: TLS records are the same for all of them. */
const BLOCK_BYTES = 65_536
const ANSWER = Buffer.from('HTTP/1.1 200 Connection Established\r\n\r\n')

const counts = { connections: 0, resumed: 0 }
const blocks = new Map<string, Buffer>()

/** What is around the payload: nothing, a binary message, or a chunk in a binary message. */
type Wire = 'plain' | 'framed' | 'chunked'

/** The path and the subprotocol of varlock's tunnel. */
const VARLOCK_PATH = '/__varlock/tunnel'
const VARLOCK_PROTOCOL = 'varlock-tunnel.v1'
/** An environment with nothing in it. */
const VARLOCK_BOOTSTRAP = JSON.stringify({
  payloadJson: JSON.stringify({ env: {}, omittedKeys: [], serializedGraph: { config: {}, sources: [], settings: {} } }),
  certs: {},
})

/** `BLOCK_BYTES` of payload as they go out. */
function blockOf(messageBytes: number, wire: Wire): Buffer {
  const key = `${messageBytes} ${wire}`
  let block = blocks.get(key)
  if (block === undefined) {
    const message = encodeMessage(Buffer.alloc(messageBytes, 'download'), wire === 'chunked')
    const messages = Array.from({ length: BLOCK_BYTES / messageBytes }, () => message)
    block = wire === 'plain' ? Buffer.alloc(BLOCK_BYTES, 'download') : Buffer.concat(messages)
    blocks.set(key, block)
  }
  return block
}

class GatewayConnection implements SkimmerHandler {
  wantsBytes = true
  readonly #socket: TLSSocket
  readonly #caPem: string
  #head: Buffer | undefined = Buffer.alloc(0)
  #wire: Wire = 'plain'
  #skimmer: FrameSkimmer | undefined
  #task = ''
  #figures: number[] = []
  #received = 0
  #hasStarted = false

  constructor(socket: TLSSocket, caPem: string) {
    this.#socket = socket
    this.#caPem = caPem
    socket.on('data', (bytes) => this.#read(bytes))
    socket.on('error', () => {})
  }

  #read(bytes: Buffer): void {
    if (this.#skimmer !== undefined) this.#skimmer.push(bytes)
    else if (this.#head === undefined) this.#receivePlain(bytes)
    else this.#readOpening(Buffer.concat([this.#head, bytes]))
  }

  /** The upgrade request, or the CONNECT of a relay that frames nothing. */
  #readOpening(head: Buffer): void {
    this.#head = head
    const end = head.indexOf('\r\n\r\n')
    if (end < 0) return
    const text = head.toString('latin1', 0, end)
    if (text.startsWith('CONNECT ')) this.#open(head)
    else if (/^upgrade:/im.test(text)) this.#upgrade(text, head.subarray(end + 4))
    else this.#serveCa()
  }

  #upgrade(request: string, rest: Buffer): void {
    const isVarlock = request.startsWith(`GET ${VARLOCK_PATH} `)
    this.#wire = isVarlock ? 'framed' : 'chunked'
    this.#head = Buffer.alloc(0)
    this.#skimmer = new FrameSkimmer(this, !isVarlock)
    this.#socket.write(acceptUpgrade(request, isVarlock ? VARLOCK_PROTOCOL : undefined))
    this.#skimmer.push(rest)
  }

  #serveCa(): void {
    const fields = [
      'Content-Type: application/x-pem-file',
      `Content-Length: ${this.#caPem.length}`,
      'Connection: close',
    ]
    this.#socket.end(['HTTP/1.1 200 OK', ...fields, '', this.#caPem].join('\r\n'))
  }

  #open(head: Buffer): void {
    this.#head = head
    const end = head.indexOf('\r\n\r\n')
    if (end < 0) return
    this.#head = undefined
    const [, task = '', figures = ''] = /^CONNECT ([a-z]+)([-0-9]*)\.bench:443 /.exec(head.toString('latin1')) ?? []
    this.#task = task
    this.#figures = figures.split('-').slice(1).map(Number)
    this.wantsBytes = task === 'echo'
    this.#send(ANSWER)
    if (task === 'stall') this.#socket.pause()
    const rest = head.subarray(end + 4)
    if (rest.length > 0) this.#receivePlain(rest)
  }

  #receivePlain(bytes: Buffer): void {
    if (this.wantsBytes) this.onPayload(bytes)
    else this.onPayloadLength(bytes.length)
  }

  onPayload(payload: Buffer): void {
    if (this.#head !== undefined) this.#open(Buffer.concat([this.#head, payload]))
    else this.#send(payload)
  }

  onPayloadLength(length: number): void {
    if (length === 0) return
    this.#received += length
    const [first = 0, second = 0] = this.#figures
    if (this.#task === 'once') this.#close()
    if (this.#task === 'sink' && this.#received === first) this.#send(Buffer.from('k'))
    if (this.#hasStarted || !(this.#task === 'source' || this.#task === 'flood')) return
    this.#hasStarted = true
    this.#pump(blockOf(first, this.#wire), second === 0 ? Number.POSITIVE_INFINITY : second / BLOCK_BYTES)
  }

  onText(text: string): void {
    if (text.includes('bootstrap')) this.#socket.write(encodeText(VARLOCK_BOOTSTRAP))
  }

  onAnswer(frame: Buffer): void {
    this.#socket.write(frame)
  }

  onClose(): void {
    this.#socket.end(encodeClose())
  }

  #close(): void {
    if (this.#skimmer === undefined) this.#socket.end()
    else this.#socket.write(encodeClose())
  }

  #send(payload: Buffer): void {
    this.#socket.write(this.#wire === 'plain' ? payload : encodeMessage(payload, this.#wire === 'chunked'))
  }

  #pump(block: Buffer, count: number): void {
    let left = count
    const fill = (): void => {
      while (left > 0 && !this.#socket.destroyed) {
        left--
        if (!this.#socket.write(block)) return
      }
      this.#socket.removeListener('drain', fill)
    }
    this.#socket.on('drain', fill)
    fill()
  }
}

async function start({ cert, key, caPem }: Start): Promise<number> {
  const server = createServer({ cert, key, noDelay: true, ALPNProtocols: ['http/1.1'] }, (socket) => {
    counts.connections++
    if (socket.isSessionReused()) counts.resumed++
    new GatewayConnection(socket, caPem)
  })
  server.on('tlsClientError', () => {})
  server.listen({ host: '127.0.0.1', port: 0, backlog: 4_096 })
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

serve({ start, counts: () => ({ ...counts }) })
