// One connection that is opened step by step, so that each step has its time and its own failure: what `doctor` looks with.
// Built on node:dns, node:net and node:tls alone, which Bun has too; tunnels never come here.
//
// Rules: every wait ends when the probe's time is over; every answer is bounded.

import { lookup } from 'node:dns/promises'
import { isIP, connect as netConnect, type Socket } from 'node:net'
import { connect as tlsConnect } from 'node:tls'
import { systemCode, UpstreamProxyError } from '../errors.js'
import { type EgressProxy, encodeEgressConnect } from '../protocol/egress-proxy.js'
import { type HttpAnswer, readHttpAnswer } from '../protocol/http-answer.js'
import { abortable } from './abortable.js'
import { orderAddresses, raceAddresses } from './address-race.js'
import { dialFailed, egressRefused, egressTimeout, egressUnreachable } from './failures.js'

/** What has a time of its own. */
export type StageName = 'dns' | 'tcp' | 'egress' | 'tls' | 'answer'

/** A step that was done, in order. */
export interface Stage {
  readonly name: StageName
  readonly ms: number
}

/** One connection. */
export class Probe {
  readonly stages: Stage[] = []
  /** Milliseconds for everything that it is asked to do. */
  readonly timeoutMs: number
  readonly #signal: AbortSignal
  #socket: Socket | undefined
  #bytes = Buffer.alloc(0)
  #failure: Error | undefined
  #hasEnded = false
  #current: StageName | undefined
  #wake: () => void = () => {}

  constructor(timeoutMs: number) {
    this.timeoutMs = timeoutMs
    this.#signal = AbortSignal.timeout(timeoutMs)
  }

  /** What it does, or what it did when it failed. */
  get stage(): StageName | undefined {
    return this.#current
  }

  /** Whether its time is over. */
  get isLate(): boolean {
    return this.#signal.aborted
  }

  /** Opens a TCP connection to the first address of `host` that takes it. Rejects with an error of the system. */
  async connect(host: string, port: number): Promise<void> {
    const addresses = isIP(host) === 0 ? await this.#time('dns', () => resolve(host)) : [host]
    this.#watch(await this.#time('tcp', () => connectFirst(addresses, port, this.#signal)))
  }

  /**
   * Goes on inside TLS, verified against `certificates`. Rejects with an error of OpenSSL or the system.
   * @param certificates PEM; without the runtime's own roots
   */
  async secure(host: string, certificates: string): Promise<void> {
    const socket = this.#letGo()
    const name = isIP(host) === 0 ? { servername: host } : {}
    const secured = tlsConnect({
      socket,
      host,
      ...name,
      ca: certificates,
      // Said here, so that NODE_TLS_REJECT_UNAUTHORIZED has no say.
      rejectUnauthorized: true,
      ALPNProtocols: ['http/1.1'],
    })
    this.#watch(secured)
    await this.#time('tls', () => settled(secured, 'secureConnect', this.#signal))
  }

  /** Sends a request, and reads the one answer that is read of this connection, or of the proxy before it. */
  async ask(request: string, stage: StageName = 'answer'): Promise<HttpAnswer> {
    const method = request.slice(0, request.indexOf(' '))
    this.#bytes = Buffer.alloc(0)
    this.#socket?.write(request)
    await this.#time(stage, () => this.#untilBytes())
    for (;;) {
      const verdict = readHttpAnswer(this.#bytes, method, this.#hasEnded)
      if (verdict.kind === 'complete') return verdict.answer
      if (verdict.kind === 'not-http') throw notHttp()
      await this.#more()
    }
  }

  /** Drops the connection; any number of times. */
  close(): void {
    this.#socket?.destroy()
  }

  async #untilBytes(): Promise<void> {
    while (this.#bytes.length === 0) {
      if (this.#hasEnded) throw notHttp()
      await this.#more()
    }
  }

  /** Waits for something to happen on the socket. */
  async #more(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure
    await abortable(new Promise<void>((wake) => (this.#wake = wake)), this.#signal)
    if (this.#failure !== undefined) throw this.#failure
  }

  #watch(socket: Socket): void {
    this.#socket = socket
    socket.on('data', this.#onData).on('error', this.#onError).on('end', this.#onEnd).on('close', this.#onEnd)
  }

  /** The socket without its listeners, but for one that keeps errors from ending the process. */
  #letGo(): Socket {
    const socket = this.#socket as Socket
    socket.off('data', this.#onData).off('error', this.#onError).off('end', this.#onEnd).off('close', this.#onEnd)
    return socket.on('error', () => {})
  }

  readonly #onData = (bytes: Buffer): void => {
    this.#bytes = Buffer.concat([this.#bytes, bytes])
    this.#wake()
  }

  readonly #onError = (error: Error): void => {
    this.#failure = error
    this.#wake()
  }

  readonly #onEnd = (): void => {
    this.#hasEnded = true
    this.#wake()
  }

  async #time<T>(name: StageName, step: () => Promise<T>): Promise<T> {
    this.#current = name
    const start = performance.now()
    const result = await abortable(step(), this.#signal)
    this.stages.push({ name, ms: performance.now() - start })
    return result
  }
}

/** The gateway, and how it is reached. */
export interface GatewayAddress {
  /** `http(s):` or `ws(s):` */
  readonly url: URL
  /** PEM, trusted for the gateway. */
  readonly certificates: string
  readonly egress: EgressProxy | undefined
}

/**
 * Connects `probe` to the gateway, through the egress proxy where there is one.
 * @throws {UpstreamProxyError} of the hop that failed
 */
export async function reachGateway(probe: Probe, address: GatewayAddress): Promise<void> {
  const { url, certificates, egress } = address
  const [host, port] = hostAndPort(url)
  const fail = (error: unknown) => gatewayError(error, probe)
  if (egress === undefined) await named(probe.connect(host, port), fail)
  else await reachThrough(probe, address, egress)
  if (/^(?:https|wss):$/.test(url.protocol)) await named(probe.secure(host, certificates), fail)
}

async function reachThrough(probe: Probe, { url, certificates }: GatewayAddress, egress: EgressProxy): Promise<void> {
  const fail = (error: unknown) =>
    probe.isLate ? egressTimeout(egress, probe.timeoutMs) : egressUnreachable(egress, systemCode(error) || 'it failed')
  const [host, port] = hostAndPort(egress.url)
  await named(probe.connect(host, port), fail)
  if (egress.url.protocol === 'https:') await named(probe.secure(host, certificates), fail)
  const target = `${url.hostname}:${hostAndPort(url)[1]}`
  const { status } = await named(probe.ask(encodeEgressConnect(target, egress), 'egress'), fail)
  if (status < 200 || status > 299) throw egressRefused(status)
}

/**
 * Says `request` to the gateway that `probe` has reached.
 * @throws {UpstreamProxyError}
 */
export function askGateway(probe: Probe, request: string): Promise<HttpAnswer> {
  return named(probe.ask(request), (error) => gatewayError(error, probe))
}

/** Host without brackets, and the port that counts. */
export function hostAndPort(url: URL): [host: string, port: number] {
  const isSecure = /^(?:https|wss):$/.test(url.protocol)
  return [url.hostname.replace(/^\[|\]$/g, ''), Number(url.port || (isSecure ? 443 : 80))]
}

function gatewayError(error: unknown, { isLate, stage, timeoutMs }: Probe): UpstreamProxyError {
  if (error instanceof UpstreamProxyError) return error
  if (!isLate) return dialFailed(systemCode(error))
  const [code, what] =
    stage === 'dns'
      ? (['gateway-dns-failed', 'no name server told the address of the gateway'] as const)
      : (['gateway-dial-timeout', 'the gateway did not answer'] as const)
  return new UpstreamProxyError(code, `${what} within ${timeoutMs} ms`, { side: 'remote' })
}

async function named<T>(work: Promise<T>, name: (error: unknown) => unknown): Promise<T> {
  try {
    return await work
  } catch (error) {
    throw name(error)
  }
}

// -- Steps ---------------------------------------------------------------------------------------------------------------

async function resolve(host: string): Promise<string[]> {
  return orderAddresses(await lookup(host, { all: true }))
}

async function connectFirst(addresses: readonly string[], port: number, signal: AbortSignal): Promise<Socket> {
  const open = async (host: string, signal: AbortSignal): Promise<Socket> => {
    const socket = netConnect({ host, port, noDelay: true })
    await settled(socket, 'connect', signal)
    return socket
  }
  const { opened } = await raceAddresses(addresses, { open, drop: (socket) => void socket.destroy() }, signal)
  return opened
}

/** Resolves when `event` comes; destroys the socket when something else does. */
function settled(socket: Socket, event: 'connect' | 'secureConnect', signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => {
      socket.off(event, done)
      socket.on('error', () => {}).destroy()
      reject(error)
    }
    const onClose = (): void => fail(notHttp())
    const onAbort = (): void => fail(signal.reason)
    const done = (): void => {
      socket.off('error', fail).off('close', onClose)
      signal.removeEventListener('abort', onAbort)
      resolve()
    }
    socket.once('error', fail).once('close', onClose).once(event, done)
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
  })
}

function notHttp(): UpstreamProxyError {
  return new UpstreamProxyError('gateway-upgrade-refused', 'the connection ended, or its answer is not valid HTTP', {
    side: 'remote',
  })
}
