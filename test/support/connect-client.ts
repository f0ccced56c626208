// A client of a CONNECT proxy over node:net and node:tls, for what curl cannot do: it says in which packets the head and
// the ClientHello travel. It is also what the demo takes when curl is not installed.

import { type IncomingHttpHeaders, type IncomingMessage, type RequestOptions, request } from 'node:http'
import { connect, isIP, type Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'

/**
 * How the tunnel is opened: the head alone and then the answer awaited, as most clients do it; the head and the first
 * bytes of the tunnel in one write; or the head a byte at a time.
 */
export type Opening = 'await-answer' | 'one-packet' | 'byte-by-byte'

/** The proxy answered something other than 200. */
export class ConnectRefused extends Error {
  override readonly name = 'ConnectRefused'
  readonly status: number
  /** The whole answer of the proxy as text. */
  readonly answer: string

  constructor(status: number, answer: string) {
    super(`the proxy answered CONNECT with ${status}`)
    this.status = status
    this.answer = answer
  }
}

/** Where a tunnel goes, and through what. */
export interface TunnelOptions {
  /** `http://127.0.0.1:port` */
  readonly proxyUrl: string
  /** `host:port` */
  readonly authority: string
  readonly opening?: Opening
}

/** A request over HTTPS through a proxy. */
export interface TunnelledRequest extends Omit<TunnelOptions, 'authority'> {
  readonly url: string
  /** PEM certificates that may sign the origin's. */
  readonly ca: string
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

/** The answer to one. */
export interface TunnelledAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

/** One request over a tunnel of its own; TLS is verified against `ca`. */
export async function requestThroughTunnel(options: TunnelledRequest): Promise<TunnelledAnswer> {
  const url = new URL(options.url)
  const authority = `${url.hostname}:${url.port || 443}`
  const tunnel = new TunnelStream({ ...options, authority })
  const secured = connectTls({
    socket: tunnel,
    ca: options.ca,
    ALPNProtocols: ['http/1.1'],
    // An address is no server name (RFC 6066, section 3).
    ...(isIP(url.hostname) === 0 ? { servername: url.hostname } : { host: url.hostname }),
  })
  const requestOptions: RequestOptions = {
    createConnection: () => secured,
    method: options.method ?? 'GET',
    path: url.pathname + url.search,
    headers: { Host: url.host, Connection: 'close', ...options.headers },
  }
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      // The tunnel's own error first: node:tls may turn it into one about the handshake.
      tunnel.once('error', reject)
      request(requestOptions, resolve).on('error', reject).end(options.body)
    })
    const pieces: Buffer[] = []
    for await (const piece of response) pieces.push(piece as Buffer)
    return { status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(pieces) }
  } finally {
    secured.destroy()
    tunnel.destroy()
  }
}

/** The bytes of a tunnel behind a CONNECT that was answered 200. It fails with ConnectRefused for any other answer. */
export class TunnelStream extends Duplex {
  readonly #socket: Socket
  readonly #head: Buffer
  readonly #opening: Opening
  /** Resolves when the proxy has answered 200, rejects when the stream fails before. */
  readonly opened: Promise<void>
  #answer = Buffer.alloc(0)
  #isHeadSent = false
  #setOpen: () => void = () => {}
  #isOpen = false

  constructor({ proxyUrl, authority, opening = 'await-answer' }: TunnelOptions) {
    super({ allowHalfOpen: true })
    const { hostname, port } = new URL(proxyUrl)
    this.#head = Buffer.from(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`)
    this.#opening = opening
    this.opened = new Promise((resolve, reject) => {
      this.#setOpen = resolve
      this.once('error', reject)
    })
    this.opened.catch(() => {})
    this.#socket = connect({ host: hostname, port: Number(port), noDelay: true })
      .on('data', (bytes: Buffer) => this.#onData(bytes))
      .on('end', () => this.#onEnd())
      .on('error', (error) => this.destroy(error))
    if (opening !== 'one-packet') this.#sendHead().catch((error: Error) => this.destroy(error))
  }

  async #sendHead(): Promise<void> {
    this.#isHeadSent = true
    if (this.#opening !== 'byte-by-byte') return this.#send(this.#head)
    for (const byte of this.#head) {
      await this.#send(Buffer.of(byte))
      await nextTurn()
    }
  }

  #send(bytes: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.write(bytes, (error) => (error ? reject(error) : resolve()))
    })
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#write(bytes).then(() => done(), done)
  }

  async #write(bytes: Buffer): Promise<void> {
    if (!this.#isHeadSent) {
      this.#isHeadSent = true
      return this.#send(Buffer.concat([this.#head, bytes]))
    }
    if (this.#opening !== 'one-packet') await this.opened
    return this.#send(bytes)
  }

  override _read(): void {
    this.#socket.resume()
  }

  override _final(done: () => void): void {
    this.#socket.end(done)
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy()
    done(error)
  }

  #onData(bytes: Buffer): void {
    if (this.#isOpen) {
      if (!this.push(bytes)) this.#socket.pause()
      return
    }
    this.#answer = Buffer.concat([this.#answer, bytes])
    const end = this.#answer.indexOf('\r\n\r\n')
    if (end === -1 || statusOf(this.#answer) !== 200) return
    this.#isOpen = true
    this.#setOpen()
    const rest = this.#answer.subarray(end + 4)
    if (rest.length > 0) this.push(rest)
  }

  #onEnd(): void {
    if (this.#isOpen) this.push(null)
    else this.destroy(new ConnectRefused(statusOf(this.#answer), this.#answer.toString('latin1')))
  }
}

function statusOf(answer: Buffer): number {
  return Number(/^HTTP\/1\.[01] (\d{3})/.exec(answer.toString('latin1'))?.[1] ?? 0)
}
