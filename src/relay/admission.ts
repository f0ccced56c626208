// Whether there is room for one more tunnel: a limit of their number, and descriptors, of which each takes two.

import { UpstreamProxyError } from '../errors.js'
import { DescriptorReserve } from '../runtime/descriptors.js'
import type { Tunnel } from './tunnel.js'

export class Admission {
  readonly #maxTunnels: number
  readonly #reserve = new DescriptorReserve()
  /** Those that hold a descriptor of the reserve until their clients have read why. */
  readonly #turnedAway: Tunnel[] = []

  constructor(maxTunnels: number) {
    this.#maxTunnels = maxTunnels
  }

  /** Why a client that asks for a tunnel gets none; its own is among those that are open. The oldest half-closed one makes room. */
  refusal(open: ReadonlySet<Tunnel>): UpstreamProxyError | undefined {
    const error = open.size > this.#maxTunnels ? full(`${this.#maxTunnels} tunnels are open already`) : this.#shortage()
    return error !== undefined && makeRoom(open) ? undefined : error
  }

  #shortage(): UpstreamProxyError | undefined {
    if (!this.#reserve.isReached()) return undefined
    return full(`of ${this.#reserve.limit} files that may be open hardly any is left`)
  }

  /** A client that takes one of the last descriptors is told so at once; the one that had the most time to read it makes room. */
  admit(tunnel: Tunnel, open: ReadonlySet<Tunnel>): void {
    const error = this.#shortage()
    if (error === undefined || makeRoom(open)) return
    tunnel.abort(error)
    this.#turnedAway.push(tunnel)
    if (this.#turnedAway.length > this.#reserve.forRefusals) this.#turnedAway.shift()?.abort(error)
  }

  sweep(): void {
    this.#reserve.keepSpare()
  }

  close(): void {
    this.#reserve.close()
  }
}

/** Ends the oldest half-closed tunnel; false when there is none. */
function makeRoom(open: ReadonlySet<Tunnel>): boolean {
  for (const tunnel of open) {
    if (!tunnel.isHalfClosed) continue
    tunnel.leave()
    return true
  }
  return false
}

function full(why: string): UpstreamProxyError {
  return new UpstreamProxyError('too-many-tunnels', why)
}
