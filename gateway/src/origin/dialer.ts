// The way to the origin: which address, over which verified TLS. The only place of the gateway that dials.
//
// Rules:
// - A name is resolved once; every address it has is checked, and the checked ones are dialled. One that is refused
//   refuses the name: a mixed answer is how a rebinding begins.
// - TLS is always verified, against the name of the CONNECT, also where `connectTo` leads elsewhere. There is no switch.
// - What is dialled belongs to one tunnel: two sessions never share a connection.

import { lookup as dnsLookup } from 'node:dns/promises'
import { connect as connectTcp, type LookupFunction, type Socket } from 'node:net'
import {
  type ConnectionOptions,
  checkServerIdentity,
  connect as connectTls,
  createSecureContext,
  type PeerCertificate,
  type SecureContext,
  type TLSSocket,
} from 'node:tls'
import { type Authority, formatAuthority } from 'ccr-upstream-proxy/protocol'
import { Guard } from '../guard.js'
import { Refusal } from '../refusal.js'
import { AddressPolicy } from './address-policy.js'
import { withDeadline } from './deadline.js'
import { errorCode, originRefusal } from './origin-refusal.js'

/** Where the gateway may dial, and whom it trusts there. */
export interface OriginConfig {
  /** PEM certificates that are trusted besides the runtime's own roots. */
  readonly caPems: readonly string[]
  /** Addresses and prefixes that may be dialled although they are not public. */
  readonly allowAddresses: readonly string[]
  /** Ports that may be dialled. */
  readonly allowPorts: readonly number[]
  /** `host:port` in canonical form → where to dial instead. */
  readonly connectTo: ReadonlyMap<string, Authority>
}

/** What a client and an origin may agree on (RFC 7301). */
export type HttpProtocol = 'h2' | 'http/1.1'

/** Resolves a name to all of its addresses. */
export type Lookup = (name: string) => Promise<readonly string[]>

/** Addresses of one name that are tried; more are round-robin spares. */
const MAX_ADDRESSES = 8
/** One SYN is sent again after a second; then the next address has its turn. */
const ADDRESS_ATTEMPT_MS = 2_500

/** Dials origins under the config's policy. */
export class Dialer {
  /** For the whole way to an origin. */
  readonly timeoutMs: number
  readonly #config: OriginConfig
  readonly #addresses: AddressPolicy
  readonly #secureContext: SecureContext
  readonly #lookup: Lookup

  constructor(config: OriginConfig, options: { readonly lookup?: Lookup | undefined; readonly timeoutMs: number }) {
    this.#config = config
    this.#addresses = new AddressPolicy(config.allowAddresses)
    this.#secureContext = trusting(config.caPems)
    this.#lookup = options.lookup ?? systemLookup
    this.timeoutMs = options.timeoutMs
  }

  /**
   * Refuses what can be refused without resolving anything: ports, and addresses that stand in the CONNECT.
   * @throws {Refusal}
   */
  assertAllowed(authority: Authority): void {
    if (this.#redirect(authority) !== undefined) return
    if (!this.#config.allowPorts.includes(authority.port)) {
      throw new Refusal('port-denied', `port ${authority.port} is not allowed`)
    }
    if (authority.kind !== 'name') this.#assertAddress(authority.host)
  }

  /**
   * A TCP connection to the origin.
   * @throws {Refusal}
   */
  async dial(authority: Authority, signal: AbortSignal): Promise<Socket> {
    return withDeadline(signal, this.timeoutMs, (inTime) => this.#dialTcp(authority, inTime))
  }

  /**
   * A verified TLS connection to the origin, one of `protocols` agreed on. Nothing was sent over it.
   * @throws {Refusal}
   */
  async dialTls(authority: Authority, protocols: readonly HttpProtocol[], signal: AbortSignal): Promise<TLSSocket> {
    return withDeadline(signal, this.timeoutMs, async (inTime) => {
      const socket = await this.#dialTcp(authority, inTime)
      return startTls(socket, authority, { secureContext: this.#secureContext, ALPNProtocols: [...protocols] }, inTime)
    })
  }

  #redirect(authority: Authority): Authority | undefined {
    return this.#config.connectTo.get(formatAuthority(authority))
  }

  #assertAddress(address: string): void {
    // The address itself is not said: it may tell the agent about a network that it cannot see.
    if (!this.#addresses.allows(address))
      throw new Refusal('address-denied', 'the host has an address that is not public')
  }

  async #dialTcp(authority: Authority, signal: AbortSignal): Promise<Socket> {
    this.assertAllowed(authority)
    const target = this.#redirect(authority)
    const { kind, host, port } = target ?? authority
    const addresses = kind === 'name' ? await this.#resolve(host, signal) : [host]
    if (target === undefined) for (const address of addresses) this.#assertAddress(address)
    return openSocket(addresses, port, signal)
  }

  async #resolve(name: string, signal: AbortSignal): Promise<readonly string[]> {
    try {
      const addresses = await abortable(this.#lookup(name), signal)
      if (addresses.length > 0) return addresses
    } catch (error) {
      if (signal.aborted) throw new Refusal('connection-timeout', 'the name of the origin was not resolved in time')
      if (!isSystemError(error)) throw error
    }
    throw new Refusal('dns-failed', 'the name of the origin cannot be resolved')
  }
}

/**
 * TLS settings for origins: the runtime's own roots, and these. node:tls offers no way to add to its roots but to hand over all of
 * them, which are then read anew: 30 ms at each start and reload. Its handle of OpenSSL's context does, in half of one.
 */
function trusting(caPems: readonly string[]): SecureContext {
  const context = createSecureContext({ minVersion: 'TLSv1.2' })
  for (const pem of caPems) context.context.addCACert(pem)
  return context
}

async function systemLookup(name: string): Promise<readonly string[]> {
  const answers = await dnsLookup(name, { all: true, verbatim: true })
  return answers.map(({ address }) => address)
}

function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason)
    if (signal.aborted) onAbort()
    work.then(resolve, reject).finally(new Guard(reject).onAbort(signal, onAbort))
  })
}

/** Connects to the first of `addresses` that answers (RFC 8305, as node has it); nothing is resolved any more. */
function openSocket(addresses: readonly string[], port: number, signal: AbortSignal): Promise<Socket> {
  const answers = addresses
    .slice(0, MAX_ADDRESSES)
    .map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
  const lookup: LookupFunction = (_name, options, callback) => {
    const [first] = answers as [(typeof answers)[0]]
    if (options.all === true) callback(null, answers)
    else callback(null, first.address, first.family)
  }
  const socket = connectTcp({
    host: 'checked.invalid',
    port,
    lookup,
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: ADDRESS_ATTEMPT_MS,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: 30_000,
  })
  return settle(socket, 'connect', signal, originRefusal)
}

function startTls(
  socket: Socket,
  authority: Authority,
  options: Pick<ConnectionOptions, 'secureContext' | 'ALPNProtocols'>,
  signal: AbortSignal,
) {
  const secured = connectTls({
    socket,
    ...options,
    rejectUnauthorized: true,
    checkServerIdentity: checkAlternativeNames,
    // An address is verified as such, and is no server name (RFC 6066, section 3).
    ...(authority.kind === 'name' ? { servername: authority.host } : { host: authority.host }),
  })
  return settle(secured, 'secureConnect', signal, (error) => {
    // Node sets it on every certificate that it does not accept, and on nothing else.
    if (secured.authorizationError) {
      return new Refusal('certificate-rejected', "the origin's certificate is not valid for it, or not trusted")
    }
    const refusal = originRefusal(error)
    return refusal.code === 'internal' ? new Refusal('tls-failed', 'the TLS handshake with the origin failed') : refusal
  })
}

/**
 * RFC 9525, section 2: the name stands in subjectAltName. Node would take a common name where there is none; and it throws at
 * names that it cannot read, from within an event of the socket.
 */
function checkAlternativeNames(host: string, certificate: PeerCertificate): Error | undefined {
  const subject = { ...certificate.subject, CN: '' }
  try {
    return checkServerIdentity(host, { ...certificate, subject })
  } catch (thrown) {
    return thrown as Error
  }
}

/** Resolves with `socket` at `event`; on an error or an abort destroys it. */
function settle<S extends Socket>(
  socket: S,
  event: 'connect' | 'secureConnect',
  signal: AbortSignal,
  toRefusal: (error: unknown) => Refusal,
): Promise<S> {
  return new Promise((resolve, reject) => {
    const guard = new Guard((thrown) => fail(thrown))
    const onAbort = () => fail(new Refusal('connection-timeout', 'the origin did not answer in time'))
    const onReady = () => {
      stop()
      resolve(socket)
    }
    // Later errors are the next owner's; until that listens, they must not end the process.
    guard.ignoreErrors(socket)
    const listeners = [
      guard.on(socket, 'error', (error: Error) => fail(toRefusal(error))),
      guard.on(socket, 'close', () => fail(new Refusal('connection-closed', 'the origin closed the connection'))),
      guard.on(socket, event, onReady),
      guard.onAbort(signal, onAbort),
    ]
    const stop = () => {
      for (const takeOff of listeners) takeOff()
    }
    const fail = (reason: unknown) => {
      stop()
      socket.destroy()
      reject(reason)
    }
    if (signal.aborted) onAbort()
  })
}

function isSystemError(error: unknown): boolean {
  return errorCode(error) !== ''
}
