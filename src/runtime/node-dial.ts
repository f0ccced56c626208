// Connections that Node opens, to the gateway or to a target past it: directly, or through the container's own egress proxy
// with a CONNECT of our own (RFC 9110, section 9.3.6). The usual agents for that have no time limit, no limit on the proxy's
// answer, and lose what comes behind it.

import type { RequestOptions } from 'node:http'
import { isIP, type LookupFunction, connect as netConnect, type Socket } from 'node:net'
import { type ConnectionOptions, createSecureContext, type SecureContext, connect as tlsConnect } from 'node:tls'
import { startDeadline } from '../deadline.js'
import { systemCode, type UpstreamProxyError } from '../errors.js'
import { EgressAnswerParser, type EgressProxy, encodeEgressConnect } from '../protocol/egress-proxy.js'
import { egressRefusal, egressTimeout, egressUnreachable } from './failures.js'
import { NameCache } from './name-cache.js'
import type { Route, Trust } from './runtime.js'
import { withoutPeerCertificate } from './tls-session.js'

/** Milliseconds that one address of a name gets before the next is tried. Node's 250 make far hosts unreachable. */
const ADDRESS_ATTEMPT_TIMEOUT_MS = 2_500

/** One TLS context for all connections: parsing a system bundle blocks the event loop for up to 26 ms. */
export class NodeTrust implements Trust {
  readonly trust: SecureContext
  /** The latest TLS session with each server that was verified, for the next connection (RFC 8446, section 2.2). */
  readonly sessions = new Map<string, Buffer>()
  /** Where those servers are. */
  readonly names: NameCache

  /** @param certificates PEM; Node's own roots when undefined */
  constructor(certificates: string | undefined, names = new NameCache()) {
    this.trust = createSecureContext(certificates === undefined ? {} : { ca: certificates })
    this.names = names
  }
}

type Connected = (error: Error | null, socket?: Socket) => void

/** What node:http and `ws` take to make a connection; node:http's asynchronous form is missing in the types of both. */
type Connector = NonNullable<RequestOptions['createConnection']> & typeof netConnect

/** A connection that is under way. */
export interface Opening {
  /** Hands it over, once. */
  readonly createConnection: Connector
  /** Gives it up; what was handed over is whose it is. */
  abandon(): void
}

/** Begins to connect to the host of `url`, with TLS when its scheme asks for it. */
export function openConnection(url: URL, route: Route): Opening {
  const { egress, trust } = route
  if (egress === undefined) return openingOf(connectToServer(url, trust))
  const dial = new AbortController()
  const connection = connectThroughProxy(url, egress, route, { signal: dial.signal }).then((socket) =>
    isSecure(url) ? connectTls(url, trust, { socket }) : socket,
  )
  const hand = (_options: unknown, connected: Connected): void => {
    connection.then((socket) => connected(null, socket), connected)
  }
  // Its failure is told to who takes it, which may be later.
  connection.catch(() => {})
  return { createConnection: hand as unknown as Connector, abandon: () => dial.abort() }
}

function openingOf(socket: Socket): Opening {
  const hand = (_options: unknown, connected: Connected): void => {
    if (socket.destroyed) connected(socket.errored ?? new Error('it was given up'))
    else connected(null, socket)
  }
  return { createConnection: hand as unknown as Connector, abandon: () => socket.destroy() }
}

/**
 * Opens a plain TCP connection to `authority`, `host:port`; it is handed over paused, and may be half-closed.
 * @throws {Error} of the system, an UpstreamProxyError about the egress proxy, or the reason of `signal`
 */
export function connectPlain(authority: string, route: Route, signal: AbortSignal): Promise<Socket> {
  const url = new URL(`http://${authority}`)
  if (route.egress !== undefined) return connectThroughProxy(url, route.egress, route, { allowHalfOpen: true, signal })
  const socket = connectDirectly(url, route.trust, { allowHalfOpen: true })
  return untilReady(socket, 'connect', signal)
}

/**
 * Opens TLS with the host of `url` behind the egress proxy of `route`; it is handed over verified and paused.
 * @throws as connectPlain()
 */
export async function connectBehindProxy(
  url: URL,
  egress: EgressProxy,
  route: Route,
  signal: AbortSignal,
): Promise<Socket> {
  const socket = await connectThroughProxy(url, egress, route, { signal })
  return untilReady(connectTls(url, route.trust, { socket }), 'secureConnect', signal)
}

function untilReady(socket: Socket, event: 'connect' | 'secureConnect', signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const settle = (error: Error | undefined): void => {
      socket.removeListener('error', settle).removeListener(event, onReady)
      signal.removeEventListener('abort', onAbort)
      if (error === undefined) resolve(socket.pause())
      else {
        socket.on('error', () => {}).destroy()
        reject(error)
      }
    }
    const onReady = (): void => settle(undefined)
    const onAbort = (): void => settle(signal.reason)
    socket.on('error', settle).on(event, onReady)
    signal.addEventListener('abort', onAbort)
    if (signal.aborted) onAbort()
  })
}

/** What a connection is opened with besides its address. */
interface DialOptions {
  readonly allowHalfOpen?: boolean
  readonly lookup?: LookupFunction
  readonly signal?: AbortSignal
}

/** To the gateway or the egress proxy, whose addresses are kept. */
function connectToServer(url: URL, trust: Trust, options: DialOptions = {}): Socket {
  const { names } = trust as NodeTrust
  const socket = connectDirectly(url, trust, { ...options, lookup: names.lookup })
  names.watch(socket, hostOf(url), isSecure(url) ? 'secureConnect' : 'connect')
  // Whoever gets it may listen later than it fails.
  return socket.once('error', () => {})
}

function connectDirectly(url: URL, trust: Trust, { allowHalfOpen = false, lookup }: DialOptions = {}): Socket {
  const address = {
    host: hostOf(url),
    port: portOf(url),
    noDelay: true,
    allowHalfOpen,
    ...(lookup === undefined ? {} : { lookup }),
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: ADDRESS_ATTEMPT_TIMEOUT_MS,
  }
  return isSecure(url) ? connectTls(url, trust, address) : netConnect(address)
}

/** TLS over what `options` say, with the last session of the same server where there is one: it saves both sides a signature. */
function connectTls(url: URL, trust: Trust, options: ConnectionOptions): Socket {
  const { sessions } = trust as NodeTrust
  const session = sessions.get(url.host)
  const socket = tlsConnect({ ...options, ...tlsOptions(url, trust), ...(session && { session }) })
  // Sessions of TLS 1.3 come at any time behind the handshake, and so behind the verification.
  socket.on('session', (latest: Buffer) => {
    if (socket.authorized) sessions.set(url.host, withoutPeerCertificate(latest))
  })
  socket.once('error', () => {
    if (!socket.authorized) sessions.delete(url.host)
  })
  return socket
}

function tlsOptions(url: URL, trust: Trust): ConnectionOptions {
  const host = hostOf(url)
  return {
    host,
    secureContext: (trust as NodeTrust).trust,
    // Said here, so that NODE_TLS_REJECT_UNAUTHORIZED has no say.
    rejectUnauthorized: true,
    ALPNProtocols: ['http/1.1'],
    ...(isIP(host) === 0 ? { servername: host } : {}),
  }
}

export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '')
}

export function isSecure(url: URL): boolean {
  return url.protocol === 'wss:' || url.protocol === 'https:'
}

export function portOf(url: URL): number {
  return Number(url.port || (isSecure(url) ? 443 : 80))
}

// -- The egress proxy ------------------------------------------------------------------------------------------------------

function connectThroughProxy(url: URL, egress: EgressProxy, route: Route, options: DialOptions = {}): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connectToServer(egress.url, route.trust, options)
    const answer = new EgressAnswerParser()
    const settle = (error: UpstreamProxyError | undefined): void => {
      deadline.clear()
      options.signal?.removeEventListener('abort', onAbort)
      socket.removeListener('data', onData).removeListener('error', onError).removeListener('end', onEnd)
      if (error === undefined) resolve(socket)
      else {
        socket.on('error', () => {}).destroy()
        reject(error)
      }
    }
    const onData = (bytes: Buffer): void => {
      const verdict = answer.push(bytes)
      if (verdict.kind === 'incomplete') return
      if (verdict.kind === 'open') {
        socket.pause()
        if (verdict.rest.length > 0) socket.unshift(verdict.rest)
      }
      settle(verdict.kind === 'open' ? undefined : egressRefusal(verdict))
    }
    const onError = (error: Error): void => settle(egressUnreachable(egress, systemCode(error) || 'it failed'))
    const onEnd = (): void => settle(egressUnreachable(egress, 'it closed the connection'))
    const onAbort = (): void => settle(options.signal?.reason)
    const onLate = (): void => settle(egressTimeout(egress, route.egressTimeoutMs))
    const deadline = startDeadline(route.egressTimeoutMs, onLate)
    options.signal?.addEventListener('abort', onAbort)
    socket.on('data', onData).on('error', onError).on('end', onEnd)
    if (options.signal?.aborted) return onAbort()
    socket.write(encodeEgressConnect(`${url.hostname}:${portOf(url)}`, egress))
  })
}
