// A client of the relay down to its bytes: a TCP connection that says exactly what it is told to say, and remembers
// everything that came back and whether it ended with a FIN or a reset.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { ByteInbox } from './byte-inbox.js'
import type { Digest } from './deterministic-bytes.js'

/** How the relay ended its side. */
export type ClientEnd = 'fin' | 'reset'

/** An HTTP answer that was all the connection ever said. */
export interface RawAnswer {
  readonly status: number
  readonly statusLine: string
  /** By lower-case name; a field that stands twice is joined with a comma. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export class RawClient {
  readonly socket: Socket
  readonly #inbox = new ByteInbox()
  readonly #ports: readonly [local: number, remote: number]
  /** What the runtime reports: 'end' for a FIN and for some resets. */
  readonly #reported: Promise<'end' | 'error'>
  #ended: Promise<ClientEnd> | undefined
  readonly #closed: Promise<void>

  /** @param socket connected */
  constructor(socket: Socket) {
    this.socket = socket
    this.#ports = [socket.localPort ?? 0, socket.remotePort ?? 0]
    socket.setNoDelay(true)
    this.#closed = new Promise((resolve) => socket.once('close', () => resolve()))
    this.#reported = new Promise((resolve) => {
      socket.on('end', () => {
        this.#inbox.end('end')
        resolve('end')
      })
      socket.on('error', (error: NodeJS.ErrnoException) => {
        this.#inbox.end(`${error.code}`)
        // EPIPE: written behind the reset.
        if (error.code === 'ECONNRESET' || error.code === 'EPIPE') resolve('error')
      })
      socket.on('close', () => {
        this.#inbox.end('closed')
        resolve('error')
      })
    })
    socket.on('data', (bytes: Buffer) => this.#inbox.push(bytes))
  }

  /** Resolves when the relay has ended its side. Ask before this end is ended behind it. */
  get ended(): Promise<ClientEnd> {
    // libuv calls it an end, too, when a reset comes with bytes still to be read.
    this.#ended ??= this.#reported.then((event) => (event === 'end' && !isReset(...this.#ports) ? 'fin' : 'reset'))
    return this.#ended
  }

  /** Bytes received so far. */
  get received(): number {
    return this.#inbox.total
  }

  /** Sends; false when the system does not take more at the moment. */
  write(bytes: string | Uint8Array): boolean {
    return this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  }

  /** Sends in pieces, each in a packet of its own as far as the system goes along. */
  async writePieces(pieces: Iterable<Uint8Array>): Promise<void> {
    for (const piece of pieces) {
      if (!this.socket.writable) return
      this.socket.write(piece)
      await turn()
    }
  }

  /** Sends a stream, no faster than it is taken. Ends early when the connection does. */
  async writeAll(source: Iterable<Uint8Array>): Promise<void> {
    for (const bytes of source) {
      if (!this.socket.writable) return
      if (!this.socket.write(bytes))
        await Promise.race([new Promise((resolve) => this.socket.once('drain', resolve)), this.#closed])
    }
  }

  take(count: number): Promise<Buffer> {
    return this.#inbox.take(count)
  }

  reached(count: number): Promise<void> {
    return this.#inbox.reached(count)
  }

  peek(count: number): Buffer {
    return this.#inbox.peek(count)
  }

  rest(): Promise<Buffer> {
    return this.#inbox.rest()
  }

  digest(count?: number): Promise<Digest> {
    return this.#inbox.digest(count)
  }

  /** Reads the head of an answer. */
  takeHead(): Promise<string> {
    return this.#inbox.takeUntil('\r\n\r\n')
  }

  /** Reads the head of the answer that opens the tunnel. */
  async takeOpening(): Promise<string> {
    const head = await this.takeHead()
    assert.match(head, /^HTTP\/1\.[01] 200 /)
    return head
  }

  /** FIN behind everything written; reading goes on. Resolves when it is out: only then is it sure to be ahead of the relay's. */
  endWriting(): Promise<void> {
    return new Promise((resolve) => this.socket.end(() => resolve()))
  }

  /** RST: a FIN alone would leave the tunnel half-closed. */
  reset(): void {
    const { writableEnded, writableFinished } = this.socket
    // While a FIN is on its way Node fails to reset, and never lets the descriptor go.
    if (writableEnded && !writableFinished) this.socket.once('finish', () => this.socket.resetAndDestroy())
    else this.socket.resetAndDestroy()
  }

  /** The one answer that the connection carried, with nothing behind it; fails when an error followed. */
  async takeOnlyAnswer(): Promise<RawAnswer> {
    assert.equal(await this.#reported, 'end')
    const bytes = await this.#inbox.rest()
    this.socket.end()
    return parseOnlyAnswer(bytes)
  }
}

/**
 * Whether the system has given the connection up. After a FIN from the peer it is still in the list (CLOSE_WAIT, or TIME_WAIT
 * where this end sent one before); after an RST it is gone (proc_net_tcp(5)). Elsewhere than on Linux what the runtime says counts.
 */
function isReset(localPort: number, remotePort: number): boolean {
  if (process.platform !== 'linux') return false
  const inHex = (port: number): string => port.toString(16).toUpperCase().padStart(4, '0')
  return !readFileSync('/proc/net/tcp', 'latin1').includes(`:${inHex(localPort)} 0100007F:${inHex(remotePort)} `)
}

/** Connects to a relay. */
export async function connectRaw(port: number): Promise<RawClient> {
  const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true })
  await once(socket, 'connect')
  return new RawClient(socket)
}

function parseOnlyAnswer(bytes: Buffer): RawAnswer {
  const text = bytes.toString('latin1')
  const headEnd = text.indexOf('\r\n\r\n')
  assert.ok(headEnd > 0, `no HTTP answer: ${JSON.stringify(text.slice(0, 200))}`)
  const [statusLine, ...lines] = text.slice(0, headEnd).split('\r\n') as [string, ...string[]]
  const match = /^HTTP\/1\.1 ([0-9]{3}) [\x20-\x7e]*$/.exec(statusLine)
  assert.ok(match, `no status line: ${JSON.stringify(statusLine)}`)
  const headers: Record<string, string> = {}
  for (const line of lines) {
    const field = /^([A-Za-z-]+): ([\x20-\x7e]*)$/.exec(line)
    assert.ok(field, `no header field: ${JSON.stringify(line)}`)
    const [, name, value] = field as unknown as [string, string, string]
    const key = name.toLowerCase()
    headers[key] = headers[key] === undefined ? value : `${headers[key]}, ${value}`
  }
  const body = text.slice(headEnd + 4)
  assert.equal(headers['content-length'], String(body.length), 'Content-Length covers all that follows the head')
  return { status: Number(match[1]), statusLine, headers, body }
}
