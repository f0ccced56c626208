// Which address of a name is connected to, as RFC 8305 has it: the next one is begun when the one before has failed or has been
// silent for a moment, and the first that connects is taken. Written once for every runtime: how one address is opened comes
// from the caller.
//
// Rules: no address is given up before another one is there or the caller's own time is over; what comes too late is dropped.

import type { LookupAddress } from 'node:dns'
import { systemCode } from '../errors.js'

/** Milliseconds that an address has for itself (RFC 8305, section 8). */
const ATTEMPT_DELAY_MS = 250
/** Addresses that are tried; a name that has more is of a pool, any of which will do. Each holds a descriptor meanwhile. */
const MAX_ADDRESSES = 16

/** Nobody hears it; made once, for its stack costs as much as the rest of a race. */
const OVER = new Error('the race is over')

/** How one address is opened. */
export interface AddressOpener<T> {
  /** Connects to `address`; rejects soon after `signal` aborts. */
  open(address: string, signal: AbortSignal): Promise<T>
  /** Closes what was opened too late. */
  drop(opened: T): void
}

/** What was opened, and where. */
export interface OpenedAddress<T> {
  readonly address: string
  readonly opened: T
}

/**
 * The order in which addresses are tried: in the resolver's, but that the families take turns (RFC 8305, section 4).
 * @param preferred comes first where it is among them
 */
export function orderAddresses(found: readonly LookupAddress[], preferred?: string): string[] {
  if (found.length === 1) return found.map(({ address }) => address)
  const [own, other] = [true, false].map((isOwn) =>
    found.filter(({ family }) => (family === found[0]?.family) === isOwn),
  )
  const turns = (own ?? []).flatMap((address, index) => [address, ...(other ?? []).slice(index, index + 1)])
  const ordered = [...turns, ...(other ?? []).slice(own?.length)].map(({ address }) => address)
  return [...new Set([...ordered.filter((address) => address === preferred), ...ordered])]
}

/**
 * The first of `addresses` that opens. Rejects with the failure of one when all of them failed, or with the reason of `signal`.
 * @param addresses at least one, in order
 */
export async function raceAddresses<T>(
  addresses: readonly string[],
  opener: AddressOpener<T>,
  signal: AbortSignal,
): Promise<OpenedAddress<T>> {
  const [address = '', ...others] = addresses
  // The usual one, which needs nothing of a race.
  if (others.length === 0) return { address, opened: await opener.open(address, signal) }
  return new Promise((resolve, reject) => new Race(addresses, opener, signal, { resolve, reject }).start())
}

class Race<T> {
  readonly #waiting: string[]
  readonly #opener: AddressOpener<T>
  readonly #signal: AbortSignal
  readonly #promise: { resolve(won: OpenedAddress<T>): void; reject(reason: unknown): void }
  readonly #over = new AbortController()
  readonly #failures: unknown[] = []
  #opening = 0
  #next: NodeJS.Timeout | undefined

  constructor(
    addresses: readonly string[],
    opener: AddressOpener<T>,
    signal: AbortSignal,
    promise: { resolve(won: OpenedAddress<T>): void; reject(reason: unknown): void },
  ) {
    this.#waiting = addresses.slice(0, MAX_ADDRESSES)
    this.#opener = opener
    this.#signal = signal
    this.#promise = promise
  }

  start(): void {
    this.#signal.addEventListener('abort', this.#onAbort)
    if (this.#signal.aborted) this.#onAbort()
    else this.#openNext()
  }

  readonly #openNext = (): void => {
    clearTimeout(this.#next)
    const address = this.#waiting.shift()
    if (address === undefined) return
    this.#opening++
    if (this.#waiting.length > 0) this.#next = setTimeout(this.#openNext, ATTEMPT_DELAY_MS)
    this.#opener.open(address, this.#over.signal).then(
      (opened) => this.#onOpened({ address, opened }),
      (error: unknown) => this.#onFailed(error),
    )
  }

  #onOpened(won: OpenedAddress<T>): void {
    if (this.#over.signal.aborted) {
      this.#opener.drop(won.opened)
      return
    }
    this.#end()
    this.#promise.resolve(won)
  }

  #onFailed(error: unknown): void {
    if (this.#over.signal.aborted) return
    this.#opening--
    this.#failures.push(error)
    if (this.#waiting.length > 0) this.#openNext()
    else if (this.#opening === 0) {
      this.#end()
      this.#promise.reject(this.#failures.find((failure) => !isOfThisMachine(failure)) ?? this.#failures[0])
    }
  }

  readonly #onAbort = (): void => {
    this.#end()
    this.#promise.reject(this.#signal.reason)
  }

  #end(): void {
    clearTimeout(this.#next)
    this.#signal.removeEventListener('abort', this.#onAbort)
    this.#over.abort(OVER)
  }
}

/** What a machine without IPv6 says to every IPv6 address says nothing of the server. */
function isOfThisMachine(failure: unknown): boolean {
  return /^(?:ENETUNREACH|EADDRNOTAVAIL|EAFNOSUPPORT)$/.test(systemCode(failure))
}
