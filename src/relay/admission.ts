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
    if (this.#shortage(open.size) === undefined) return undefined
    for (const tunnel of open) {
      if (!tunnel.isHalfClosed) continue
      tunnel.leave()
      return undefined
    }
    return this.#shortage(open.size)
  }

  #shortage(open: number): UpstreamProxyError | undefined {
    if (open > this.#maxTunnels) return full(`${this.#maxTunnels} tunnels are open already`)
    if (this.#reserve.isReached()) return full(`of ${this.#reserve.limit} files that may be open hardly any is left`)
    return undefined
  }

  /** A client that takes one of the last descriptors is told so at once; the one that had the most time to read it makes room. */
  admit(tunnel: Tunnel): void {
    if (!this.#reserve.isReached()) return
    const error = full(`of ${this.#reserve.limit} files that may be open hardly any is left`)
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

function full(why: string): UpstreamProxyError {
  return new UpstreamProxyError('too-many-tunnels', why)
}
