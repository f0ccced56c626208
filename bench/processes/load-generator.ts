// The clients of the bench: CONNECT to a relay, and then whatever loads it. Everything that comes is read into one buffer and
// counted, not looked at.

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { serve } from './serve.js'

/** Shared by all sockets: it is empty again when the callback returns. */
const READ_BUFFER = Buffer.allocUnsafe(256 * 1_024)
const UPLOAD_BLOCK = Buffer.alloc(65_536, 'upload')
const GO = Buffer.from('g')
/** What hangs shall fail. */
const LIMIT_MS = 120_000

export interface OpenRequest {
  readonly port: number
  /** `name.bench`, see gateway-side.ts. */
  readonly target: string
  readonly count: number
  /** How many are opened at a time; all unless given. */
  readonly concurrency?: number
}

class ClientTunnel {
  readonly socket: Socket
  /** Milliseconds from the call of connect() to the whole 200. */
  openedAfterMs = 0
  /** Resolves when the relay has ended its side. */
  readonly ended: Promise<unknown>
  #received = 0
  #wanted = Number.POSITIVE_INFINITY
  #head = ''
  #isOpen = false
  #onReached: (() => void) | undefined
  #onFailure: ((error: Error) => void) | undefined

  constructor(port: number) {
    const onread = { buffer: READ_BUFFER, callback: (length: number) => this.#onRead(length) }
    this.socket = connect({ host: '127.0.0.1', port, noDelay: true, onread })
    this.socket.on('error', (error) => this.#onFailure?.(error))
    this.socket.on('close', () => this.#onFailure?.(new Error('the relay closed the connection')))
    this.ended = once(this.socket, 'close').catch(() => {})
  }

  open(target: string): Promise<void> {
    const startedAt = performance.now()
    const opened = this.#until(0)
    this.socket.write(`CONNECT ${target}:443 HTTP/1.1\r\nHost: ${target}:443\r\n\r\n`)
    return opened.then(() => {
      this.openedAfterMs = performance.now() - startedAt
    })
  }

  /** Resolves when `count` more bytes have come. */
  take(count: number): Promise<void> {
    return this.#until(this.#received + count)
  }

  /** Sends `bytes`, no faster than they are taken. */
  async upload(bytes: number): Promise<void> {
    for (let left = bytes; left > 0; left -= UPLOAD_BLOCK.length) {
      const block = left < UPLOAD_BLOCK.length ? UPLOAD_BLOCK.subarray(0, left) : UPLOAD_BLOCK
      if (!this.socket.write(block)) await once(this.socket, 'drain')
    }
  }

  /** Sends without an end; nobody waits for it. */
  uploadForever(): void {
    const fill = (): void => {
      while (!this.socket.destroyed && this.socket.write(UPLOAD_BLOCK));
    }
    this.socket.on('drain', fill)
    fill()
  }

  /** RST: the relay lets go of everything. */
  reset(): void {
    this.socket.resetAndDestroy()
  }

  #until(wanted: number): Promise<void> {
    this.#wanted = wanted
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${this.#received} bytes of ${wanted}`)), LIMIT_MS)
      this.#onFailure = (error) => {
        clearTimeout(timer)
        reject(error)
      }
      this.#onReached = () => {
        clearTimeout(timer)
        this.#onFailure = undefined
        resolve()
      }
      if (this.#isOpen) this.#check()
    })
  }

  #onRead(length: number): boolean {
    if (this.#isOpen) this.#received += length
    else this.#readHead(length)
    this.#check()
    return true
  }

  #readHead(length: number): void {
    this.#head += READ_BUFFER.toString('latin1', 0, length)
    const end = this.#head.indexOf('\r\n\r\n')
    if (end < 0) return
    if (!/^HTTP\/1\.[01] 200 /.test(this.#head)) this.socket.destroy(new Error(this.#head.slice(0, 200)))
    else this.#isOpen = true
    this.#received = this.#head.length - end - 4
  }

  #check(): void {
    if (!this.#isOpen || this.#received < this.#wanted) return
    const reached = this.#onReached
    this.#onReached = undefined
    reached?.()
  }
}

let tunnels: ClientTunnel[] = []

/** Runs `task` `count` times, `concurrency` at a time. */
async function repeat(count: number, concurrency: number, task: () => Promise<void>): Promise<void> {
  let left = count
  const worker = async (): Promise<void> => {
    while (left-- > 0) await task()
  }
  await Promise.all(Array.from({ length: Math.min(count, concurrency) }, worker))
}

async function openTunnel(port: number, target: string): Promise<ClientTunnel> {
  const tunnel = new ClientTunnel(port)
  await tunnel.open(target)
  return tunnel
}

/** Opens tunnels, and keeps them. */
async function open({ port, target, count, concurrency = count }: OpenRequest): Promise<void> {
  await repeat(count, concurrency, async () => {
    tunnels.push(await openTunnel(port, target))
  })
}

/** Drops all tunnels; resolves when no socket is left. */
async function release(): Promise<void> {
  const closing = tunnels
  tunnels = []
  for (const tunnel of closing) tunnel.reset()
  await Promise.all(closing.map(({ ended }) => ended))
}

/** Milliseconds until the gateway had `bytes` from each tunnel. */
async function upload(bytes: number): Promise<number> {
  const startedAt = performance.now()
  const confirmed = tunnels.map((tunnel) => tunnel.take(1))
  await Promise.all([...tunnels.map((tunnel) => tunnel.upload(bytes)), ...confirmed])
  return performance.now() - startedAt
}

/** Milliseconds until `bytes` had come through each tunnel. */
async function download(bytes: number): Promise<number> {
  const startedAt = performance.now()
  await Promise.all(
    tunnels.map((tunnel) => {
      tunnel.socket.write(GO)
      return tunnel.take(bytes)
    }),
  )
  return performance.now() - startedAt
}

/** Whole lives of tunnels, one behind the other in each of `concurrency` lines. Milliseconds to the 200 of each. */
async function lives({ port, target, count, concurrency = count }: OpenRequest): Promise<number[]> {
  const times: number[] = []
  await repeat(count, concurrency, async () => {
    const tunnel = await openTunnel(port, target)
    times.push(tunnel.openedAfterMs)
    tunnel.socket.write(GO)
    await tunnel.ended
  })
  return times
}

/** Milliseconds of `count` exchanges of `bytes`, over the first tunnel. */
async function exchange({ count, bytes }: { readonly count: number; readonly bytes: number }): Promise<number[]> {
  const [tunnel] = tunnels
  const message = Buffer.alloc(bytes, 'echo')
  const times: number[] = []
  for (let index = 0; tunnel !== undefined && index < count; index++) {
    const startedAt = performance.now()
    tunnel.socket.write(message)
    await tunnel.take(bytes)
    times.push(performance.now() - startedAt)
  }
  return times
}

/** The same, spread over time: one exchange every `intervalMs`. */
async function exchangeSlowly({
  durationMs,
  intervalMs,
}: {
  readonly durationMs: number
  readonly intervalMs: number
}) {
  const times: number[] = []
  for (const endsAt = performance.now() + durationMs; performance.now() < endsAt; ) {
    times.push(...(await exchange({ count: 1, bytes: 64 })))
    await sleep(intervalMs)
  }
  return times
}

/** Asks every tunnel for its download and reads nothing of it. */
function stallReading(): void {
  for (const { socket } of tunnels) {
    socket.pause()
    socket.write(GO)
  }
}

function uploadForever(): void {
  for (const tunnel of tunnels) tunnel.uploadForever()
}

serve({ open, release, upload, download, lives, exchange, exchangeSlowly, stallReading, uploadForever })
