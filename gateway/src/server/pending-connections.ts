// Connections to the gateway's listener that are no WebSocket of a session yet. Nobody has proved anything on them, so they are
// bounded in time and in number, and those that are honest are quick.

import type { Server, Socket } from 'node:net'
import type { Guard } from '../guard.js'

export interface PendingLimits {
  /** From the connection to its admission, TLS included; what is answered otherwise is closed then. */
  readonly limitMs: number
  /** One more takes the place of the oldest, of the address that has most of them. */
  readonly count: number
}

/** A relay needs three round trips. A thousand is what a large fleet has under way when it starts. */
export const DEFAULT_PENDING_LIMITS: PendingLimits = { limitMs: 10_000, count: 1_000 }

interface Pending {
  readonly name: string
  readonly address: string
  readonly socket: Socket
  readonly stopWaiting: () => void
}

export class PendingConnections {
  readonly #guard: Guard
  readonly #limits: PendingLimits
  readonly #byName = new Map<string, Pending>()
  /** Of each address the oldest first. */
  readonly #byAddress = new Map<string, Set<Pending>>()

  constructor(server: Server, guard: Guard, limits = DEFAULT_PENDING_LIMITS) {
    this.#guard = guard
    this.#limits = limits
    guard.on(server, 'connection', (socket: Socket) => this.#add(socket))
  }

  /** It is no longer one of these; `socket` may be the TLS over it. */
  release(socket: Socket): void {
    this.#drop(this.#byName.get(nameOf(socket)))
  }

  #add(socket: Socket): void {
    const [name, { remoteAddress: address = '' }] = [nameOf(socket), socket]
    const stopWaiting = this.#guard.startDeadline(this.#limits.limitMs, () => socket.destroy())
    const pending = { name, address, socket, stopWaiting }
    this.#drop(this.#byName.get(name))
    this.#byName.set(name, pending)
    const ofAddress = this.#byAddress.get(address) ?? new Set()
    this.#byAddress.set(address, ofAddress.add(pending))
    this.#guard.once(socket, 'close', () => this.#drop(pending))
    if (this.#byName.size > this.#limits.count) this.#cutOldest()
  }

  #cutOldest(): void {
    const [oldest] = [...this.#byAddress.values()].reduce((most, each) => (each.size > most.size ? each : most))
    // At once: before its close comes another one may.
    this.#drop(oldest)
    oldest?.socket.destroy()
  }

  #drop(pending: Pending | undefined): void {
    if (pending === undefined || this.#byName.get(pending.name) !== pending) return
    const { name, address, stopWaiting } = pending
    stopWaiting()
    this.#byName.delete(name)
    const ofAddress = this.#byAddress.get(address)
    ofAddress?.delete(pending)
    if (ofAddress?.size === 0) this.#byAddress.delete(address)
  }
}

/** Node has no other way from a TLSSocket of a server to the connection below it. */
function nameOf({ remoteAddress, remotePort, localAddress }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress}`
}
