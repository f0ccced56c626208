// Connections that Node opens, to the gateway or to a target past it: directly, or through the container's own egress proxy
// with a CONNECT of our own (RFC 9110, section 9.3.6). The usual agents for that have no time limit, no limit on the proxy's
// answer, and lose what comes behind it.

import type { RequestOptions } from 'node:http'
import { isIP, connect as netConnect, type Socket } from 'node:net'
import { type ConnectionOptions, createSecureContext, type SecureContext, connect as tlsConnect } from 'node:tls'
import { withDeadline } from '../deadline.js'
import { systemCode, UpstreamProxyError } from '../errors.js'
import { EgressAnswerParser, type EgressProxy, encodeEgressConnect } from '../protocol/egress-proxy.js'
import { egressRefusal, egressTimeout, egressUnreachable } from './failures.js'
import { NameCache, SERVER_NAMES, TARGET_NAMES } from './name-cache.js'
import type { Route, Trust } from './runtime.js'
import { withoutPeerCertificate } from './tls-session.js'

/** One TLS context for all connections: parsing a system bundle blocks the event loop for up to 26 ms. */
export class NodeTrust implements Trust {
  readonly trust: SecureContext
  /** The latest TLS session with each server that was verified, for the next connection (RFC 8446, section 2.2). */
  readonly sessions = new Map<string, Buffer>()
  /** Where those servers are, and where targets past the gateway are. */
  readonly names: NameCache
  readonly targets: NameCache

  /** @param certificates PEM; Node's own roots when undefined */
  constructor(
    certificates: string | undefined,
    names = new NameCache(SERVER_NAMES),
    targets = new NameCache(TARGET_NAMES),
  ) {
    this.trust = createSecureContext(certificates === undefined ? {} : { ca: certificates })
    this.names = names
    this.targets = targets
  }
}

/** Of a dial; made once, for its stack costs more than to give it up. */
const GIVEN_UP = new Error('it was given up')

type Connected = (error: Error | null, socket?: Socket) => void

/** What node:http and `ws` take to make a connection; node:http's asynchronous form is missing in the types of both. */
type Connector = NonNullable<RequestOptions['createConnection']> & typeof netConnect

/** A connection that is under way. */
export interface Opening {
  /** Settles once TCP is there, and an egress proxy has opened the way, or that has failed. */
  readonly reached: Promise<unknown>
  /** Hands it over, once. */
  readonly createConnection: Connector
  /** Gives it up; what was handed over is whose it is. */
  abandon(): void
}

/** Begins to connect to the host of `url`, with TLS when its scheme asks for it. */
export function openConnection(url: URL, route: Route): Opening {
  const dial = new AbortController()
  const connection = connectTo(url, route, dial.signal)
  // Its failure is told to who takes it, which may be later.
  connection.catch(() => {})
  let isHanded = false
  const hand = (_options: unknown, connected: Connected): void => {
    connection.then((socket) => {
      isHanded = true
      if (socket.destroyed) connected(socket.errored ?? GIVEN_UP)
      else connected(null, socket)
    }, connected)
  }
  const abandon = (): void => {
    dial.abort(GIVEN_UP)
    const drop = (socket: Socket): void => {
      if (!isHanded) socket.destroy()
    }
    connection.then(drop, () => {})
  }
  return { reached: connection, createConnection: hand as unknown as Connector, abandon }
}

async function connectTo(url: URL, route: Route, signal: AbortSignal): Promise<Socket> {
  const { egress, trust } = route
  if (egress === undefined) return connectToServer(url, trust, { signal })
  const socket = await connectThroughProxy(url, egress, route, { signal })
  return isSecure(url) ? watchHandshake(connectTls(url, trust, { socket }), url, trust) : socket
}

/**
 * Opens a plain TCP connection to `authority`, `host:port`; it is handed over paused, and may be half-closed.
 * @throws {Error} of the system, an UpstreamProxyError about the egress proxy, or the reason of `signal`
 */
export async function connectPlain(authority: string, route: Route, signal: AbortSignal): Promise<Socket> {
  const url = new URL(`http://${authority}`)
  const options = { allowHalfOpen: true, signal }
  if (route.egress !== undefined) return connectThroughProxy(url, route.egress, route, options)
  const { targets } = route.trust as NodeTrust
  return (await connectDirectly(url, route.trust, targets, options)).pause()
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
  const secured = watchHandshake(connectTls(url, route.trust, { socket }), url, route.trust)
  return (await untilReady(secured, 'secureConnect', signal)).pause()
}

/** Resolves when `event` has come; destroys the socket when something else comes before. */
function untilReady(socket: Socket, event: 'connect' | 'secureConnect', signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const settle = (error: Error | undefined): void => {
      socket.removeListener('error', settle).removeListener(event, onReady)
      signal.removeEventListener('abort', onAbort)
      // Whoever gets it may listen later than it fails.
      socket.on('error', () => {})
      if (error === undefined) resolve(socket)
      else {
        socket.destroy()
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
  readonly signal: AbortSignal
}

/** To the gateway or the egress proxy, whose addresses are kept; where it has TLS, the handshake is still to come. */
async function connectToServer(url: URL, trust: Trust, options: DialOptions): Promise<Socket> {
  const { names } = trust as NodeTrust
  const socket = await connectDirectly(url, trust, names, options)
  return isSecure(url) ? watchHandshake(socket, url, trust) : socket
}

/** Resolves when TCP is there. */
function connectDirectly(
  url: URL,
  trust: Trust,
  names: NameCache,
  { allowHalfOpen = false, signal }: DialOptions,
): Promise<Socket> {
  const open = (host: string, signal: AbortSignal): Promise<Socket> => {
    const address = { host, port: portOf(url), noDelay: true, allowHalfOpen }
    return untilReady(isSecure(url) ? connectTls(url, trust, address) : netConnect(address), 'connect', signal)
  }
  return names.dial(hostOf(url), { open, drop: (socket) => void socket.destroy() }, signal)
}

/** TLS over what `options` say, with the last session of the same server where there is one: it saves both sides a signature. */
function connectTls(url: URL, trust: Trust, options: ConnectionOptions): Socket {
  const { sessions } = trust as NodeTrust
  const session = sessions.get(url.host)
  const socket = tlsConnect({ ...tlsOptions(url, trust), ...options, ...(session && { session }) })
  // Sessions of TLS 1.3 come at any time behind the handshake, and so behind the verification.
  socket.on('session', (latest: Buffer) => {
    if (socket.authorized) sessions.set(url.host, withoutPeerCertificate(latest))
  })
  return socket
}

/** Forgets what was known of a server that does not get through the handshake which `socket` is in, and returns `socket`. */
function watchHandshake(socket: Socket, url: URL, trust: Trust): Socket {
  const { names, sessions } = trust as NodeTrust
  const onError = (): void => {
    sessions.delete(url.host)
    names.forget(hostOf(url))
  }
  // 'close' comes later than 'error', and whoever hears of that may have tried again; it comes alone when time was up.
  const onClose = (): void => names.forget(hostOf(url))
  socket.once('error', onError).once('close', onClose)
  return socket.once('secureConnect', () => socket.removeListener('error', onError).removeListener('close', onClose))
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

async function connectThroughProxy(
  url: URL,
  egress: EgressProxy,
  { trust, egressTimeoutMs }: Route,
  options: DialOptions,
): Promise<Socket> {
  const createError = (): UpstreamProxyError => egressTimeout(egress, egressTimeoutMs)
  return withDeadline(egressTimeoutMs, createError, async (late) => {
    const signal = AbortSignal.any([options.signal, late])
    try {
      const socket = await connectToServer(egress.url, trust, { ...options, signal })
      return await askForTarget(socket, `${url.hostname}:${portOf(url)}`, egress, signal)
    } catch (error) {
      throw error instanceof UpstreamProxyError ? error : egressUnreachable(egress, systemCode(error) || 'it failed')
    }
  })
}

/** Says CONNECT to the egress proxy and reads its answer; it is handed over paused, at the first byte that the target says. */
function askForTarget(socket: Socket, authority: string, egress: EgressProxy, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const answer = new EgressAnswerParser()
    const settle = (error: Error | undefined): void => {
      signal.removeEventListener('abort', onAbort)
      socket.removeListener('data', onData).removeListener('error', settle).removeListener('end', onEnd)
      if (error === undefined) resolve(socket)
      else {
        socket.destroy()
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
    const onEnd = (): void => settle(egressUnreachable(egress, 'it closed the connection'))
    const onAbort = (): void => settle(signal.reason)
    signal.addEventListener('abort', onAbort)
    socket.on('data', onData).on('error', settle).on('end', onEnd)
    if (signal.aborted) return onAbort()
    socket.write(encodeEgressConnect(authority, egress))
  })
}
