// The addresses of servers, on every runtime: kept between one tunnel and the next, for a look-up takes one of the few threads
// that a runtime has for files and names, and with a resolver that is far, a round trip; and the one of them that answered last,
// so that a dead one costs its delay once.
//
// Rules: what failed is not kept. An address that answered goes first for as long as the resolver has it among the name's.

import { ADDRCONFIG, type LookupAddress, type LookupOptions, lookup } from 'node:dns'
import { isIP } from 'node:net'
import { abortable } from './abortable.js'
import { type AddressOpener, orderAddresses, raceAddresses } from './address-race.js'

/** dns.lookup() with the option `all`. */
export type Resolver = (
  name: string,
  options: LookupOptions & { all: true },
  answered: (error: NodeJS.ErrnoException | null, addresses: readonly LookupAddress[]) => void,
) => void

/** How much is kept, and for how long. */
export interface NameCacheLimits {
  /** Milliseconds. */
  readonly keptMs: number
  readonly maxNames: number
}

/**
 * For the gateway and the egress proxy: a relay has one of each at most, and what follows a redirect has the same name. A failover
 * by DNS counts on 30 s at least.
 */
export const SERVER_NAMES: NameCacheLimits = { keptMs: 30_000, maxNames: 8 }
/** For targets past the gateway: their addresses are not ours to keep. */
export const TARGET_NAMES: NameCacheLimits = { keptMs: 0, maxNames: 64 }

interface Entry {
  readonly addresses: Promise<readonly LookupAddress[]>
  /** Infinite until they are there. */
  until: number
}

export class NameCache {
  readonly #limits: NameCacheLimits
  readonly #resolve: Resolver
  readonly #now: () => number
  readonly #entries = new Map<string, Entry>()
  /** The address of each name that answered last. */
  readonly #answered = new Map<string, string>()

  /** @param now milliseconds of a clock that nobody sets */
  constructor(limits: NameCacheLimits, resolve: Resolver = lookup, now: () => number = () => performance.now()) {
    this.#limits = limits
    this.#resolve = resolve
    this.#now = now
  }

  /**
   * Opens one of the addresses of `host`, which may be one itself. Rejects with an error of the resolver or of `opener`, or the
   * reason of `signal`.
   */
  async dial<T>(host: string, opener: AddressOpener<T>, signal: AbortSignal): Promise<T> {
    if (isIP(host) !== 0) return opener.open(host, signal)
    const found = await abortable(this.#ask(host), signal)
    try {
      const { address, opened } = await raceAddresses(orderAddresses(found, this.#answered.get(host)), opener, signal)
      this.#put(this.#answered, host, address)
      return opened
    } catch (error) {
      this.forget(host)
      throw error
    }
  }

  /** What was opened there proved to be no use: the next one asks anew. A look-up that is on its way is new enough. */
  forget(host: string): void {
    this.#answered.delete(host)
    if (this.#entries.get(host)?.until !== Number.POSITIVE_INFINITY) this.#entries.delete(host)
  }

  #ask(name: string): Promise<readonly LookupAddress[]> {
    const kept = this.#entries.get(name)
    if (kept !== undefined && this.#now() < kept.until) return kept.addresses
    const entry: Entry = { addresses: this.#look(name), until: Number.POSITIVE_INFINITY }
    this.#put(this.#entries, name, entry)
    entry.addresses.then(
      () => (entry.until = this.#now() + this.#limits.keptMs),
      () => this.#entries.get(name) === entry && this.#entries.delete(name),
    )
    return entry.addresses
  }

  #look(name: string): Promise<readonly LookupAddress[]> {
    return new Promise((resolve, reject) => {
      // Without addresses of a family that this machine does not speak (getaddrinfo(3)).
      this.#resolve(name, { all: true, hints: ADDRCONFIG }, (error, addresses) => {
        if (error === null && addresses.length > 0) resolve(addresses)
        else reject(error ?? Object.assign(new Error(`${name} has no address`), { code: 'ENOTFOUND' }))
      })
    })
  }

  #put<V>(map: Map<string, V>, name: string, value: V): void {
    map.delete(name)
    map.set(name, value)
    const [oldest] = map.keys()
    if (map.size > this.#limits.maxNames && oldest !== undefined) map.delete(oldest)
  }
}
