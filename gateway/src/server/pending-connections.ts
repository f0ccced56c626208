// Connections to the gateway's listener that are no WebSocket yet. Nobody has proved anything on them, so they are bounded in time
// and in number, and those that are honest are quick.

import type { Server, Socket } from 'node:net'
import type { Guard } from '../guard.js'

export interface PendingLimits {
  /** From the connection to its upgrade, TLS included; what is answered otherwise is closed then. */
  readonly limitMs: number
  /** One more takes the place of the oldest. */
  readonly count: number
}

/** A relay needs three round trips. A thousand is what a large fleet has under way when it starts. */
const DEFAULT_LIMITS: PendingLimits = { limitMs: 10_000, count: 1_000 }

export class PendingConnections {
  readonly #guard: Guard
  readonly #limits: PendingLimits
  /** The oldest first. */
  readonly #pending = new Map<string, { readonly socket: Socket; readonly stopWaiting: () => void }>()

  constructor(server: Server, guard: Guard, limits = DEFAULT_LIMITS) {
    this.#guard = guard
    this.#limits = limits
    guard.on(server, 'connection', (socket: Socket) => this.#add(socket))
  }

  /** It is no longer one of these; `socket` may be the TLS over it. */
  release(socket: Socket): void {
    this.#drop(nameOf(socket))
  }

  #add(socket: Socket): void {
    const name = nameOf(socket)
    const stopWaiting = this.#guard.startDeadline(this.#limits.limitMs, () => socket.destroy())
    this.#drop(name)
    this.#pending.set(name, { socket, stopWaiting })
    this.#guard.once(socket, 'close', () => {
      if (this.#pending.get(name)?.socket === socket) this.#drop(name)
    })
    const [oldest] = this.#pending.values()
    if (this.#pending.size > this.#limits.count) oldest?.socket.destroy()
  }

  #drop(name: string): void {
    this.#pending.get(name)?.stopWaiting()
    this.#pending.delete(name)
  }
}

/** Node has no other way from a TLSSocket of a server to the connection below it. */
function nameOf({ remoteAddress, remotePort, localAddress }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress}`
}
