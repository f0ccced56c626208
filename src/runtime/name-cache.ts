// The addresses of the gateway and of the egress proxy, kept on Node between one tunnel and the next: a look-up takes one of
// the four threads that Node has for files and names, and with a resolver that is far, a round trip. Bun does the same by
// itself, for 30 s and up to 255 names (https://bun.com/docs/runtime/networking/dns).
//
// Rules: what failed is not kept. Addresses stay in the resolver's order. Names of targets are not ours to keep.

import { type LookupAddress, type LookupOptions, lookup } from 'node:dns'
import { type EventEmitter, errorMonitor } from 'node:events'
import type { LookupFunction } from 'node:net'

/** How long addresses are kept, in milliseconds. A failover by DNS counts on such a time at least. */
const KEPT_MS = 30_000
/** A relay has one gateway and at most one egress proxy; what follows a redirect has the same name. */
const MAX_NAMES = 8

type Answered = (error: NodeJS.ErrnoException | null, addresses: readonly LookupAddress[]) => void
/** dns.lookup() with the option `all`. */
export type Resolver = (name: string, options: LookupOptions & { all: true }, answered: Answered) => void

type Entry =
  | { readonly state: 'asked'; readonly waiting: Answered[] }
  | { readonly state: 'known'; readonly addresses: readonly LookupAddress[]; readonly until: number }

export class NameCache {
  readonly #resolve: Resolver
  readonly #now: () => number
  readonly #entries = new Map<string, Entry>()

  /** @param now milliseconds of a clock that nobody sets */
  constructor(resolve: Resolver = lookup, now: () => number = () => performance.now()) {
    this.#resolve = resolve
    this.#now = now
  }

  /** The option `lookup` of net.connect(). */
  readonly lookup: LookupFunction = (name, options, callback) => {
    this.#ask(name, options, (error, addresses) => {
      const [first] = addresses
      if (error !== null || options.all) callback(error, addresses as LookupAddress[])
      else callback(null, first?.address ?? '', first?.family)
    })
  }

  /** From here on `socket`, on its way to `name`, makes the next one ask anew if it ends before its event `opened`. */
  watch(socket: EventEmitter, name: string, opened: 'connect' | 'secureConnect'): void {
    const onEnd = (): void => this.#forget(name)
    // 'close' comes later than 'error', and whoever hears of that may have tried again; it comes alone when time was up.
    socket.once(errorMonitor, onEnd).once('close', onEnd)
    socket.once(opened, () => socket.removeListener(errorMonitor, onEnd).removeListener('close', onEnd))
  }

  #ask(name: string, options: LookupOptions, answered: Answered): void {
    const entry = this.#entries.get(name)
    if (entry?.state === 'asked') entry.waiting.push(answered)
    else if (entry !== undefined && this.#now() < entry.until) process.nextTick(answered, null, entry.addresses)
    else this.#look(name, options, [answered])
  }

  #look(name: string, options: LookupOptions, waiting: Answered[]): void {
    this.#put(name, { state: 'asked', waiting })
    this.#resolve(name, { ...options, all: true }, (error, addresses) => {
      if (error === null) this.#put(name, { state: 'known', addresses, until: this.#now() + KEPT_MS })
      else this.#entries.delete(name)
      for (const answered of waiting) answered(error, addresses ?? [])
    })
  }

  #put(name: string, entry: Entry): void {
    this.#entries.delete(name)
    this.#entries.set(name, entry)
    const [oldest] = this.#entries.keys()
    if (this.#entries.size > MAX_NAMES && oldest !== undefined) this.#entries.delete(oldest)
  }

  /** A look-up that is on its way is new enough. */
  #forget(name: string): void {
    if (this.#entries.get(name)?.state === 'known') this.#entries.delete(name)
  }
}
