// WebSockets that are open before they are needed, so that a CONNECT costs one round trip instead of four.
//
// Rules:
// - One is wanted at the start, one more after each CONNECT that found none, one less after a time in which none was needed.
// - They wait for the CONNECTs: none is opened while a CONNECT that found none waits for its answer, but by the sweep; and only
//   one a turn of the event loop, for each blocks it for the time of a TLS handshake.
// - A CONNECT that finds none open takes one that is being dialled, which has a start on a new one.
// - One that rests is kept alive by pings. It is handed out only if the gateway was heard a ping's interval ago at most. Where one
//   that is handed out proves to be silent, those that have not been heard since go too: what took its flow took theirs.
// - A gateway that ends them unused is left alone for a while: it does not want them. So is one that cannot be reached, for twice
//   as long each time until one opens.
// - What comes of one cause counts once: ends at the same moment, and failures of dials that had begun before the first of them.
// - What a spare hears before it is handed out can only be its end.

import type { UpstreamProxyError } from '../errors.js'
import type { LimitTime } from '../limit-clock.js'
import type { GatewayHandler, GatewaySocket } from '../runtime/runtime.js'
import type { GatewayBackoff } from './gateway-backoff.js'
import { Keepalive } from './keepalive.js'
import type { RelayLimits } from './limits.js'
import type { Uplink } from './uplink.js'

/** Figures since the start of the relay. */
export interface WarmStatistics {
  /** Open now, and not in use. */
  readonly ready: number
  /** CONNECTs that got one, and CONNECTs that found none open. */
  readonly used: number
  readonly missed: number
  /** Ended by the gateway, or lost, before they were used. */
  readonly lost: number
  /** Whether none are opened at the moment, because the gateway ends them unused or cannot be reached. */
  readonly isResting: boolean
}

/** Without a CONNECT that needed more, one less is wanted. */
const SHRINK_AFTER_MS = 30_000
/** Ends within this time of the first are one event: the gateway was restarted, or the network is gone. */
const SAME_MOMENT_MS = 1_000
/** So many unused ends without a use between them, and the gateway does not want them. */
const MOST_UNUSED_ENDS = 3
const LEFT_ALONE_MS = 600_000
/** One that is dialled for longer may never open. */
const YOUNG_DIAL_MS = 1_000
/** Between attempts while the gateway cannot be reached: doubled up to the time above. */
const FIRST_RETRY_MS = 1_000

export interface WarmPoolInputs {
  readonly dial: (handler: GatewayHandler) => GatewaySocket
  readonly backoff: GatewayBackoff
  readonly uplink: Uplink
  readonly limits: RelayLimits
  /** Monotonic milliseconds: what was not heard of while the process was stopped may be gone. */
  readonly now: () => number
  /** How long one that is dialled, or pinged, may still be silent. */
  readonly clock: LimitTime
  /** Changes when the token does: what was opened with the old one is dropped. */
  readonly tokenGeneration: () => number
}

/** What a CONNECT gets. */
export interface Handover {
  readonly socket: GatewaySocket
  /** Otherwise it is being dialled, and its handler hears how that ends. */
  readonly isOpen: boolean
  /** Whether it has been silent for so long that it may be gone without a sign. */
  readonly isQuiet: boolean
  /** When, for onSilence(). */
  readonly at: number
  /** Of the token that it was dialled with. */
  readonly generation: number | undefined
}

export class WarmPool {
  readonly #inputs: WarmPoolInputs
  /** The one that was opened first stands first. */
  readonly #spares: Spare[] = []
  #wanted: number
  #changedAt: number
  #unusedEnds = 0
  #lastEndAt = Number.NEGATIVE_INFINITY
  #failures = 0
  #lastFailureAt = Number.NEGATIVE_INFINITY
  #restsUntil = Number.NEGATIVE_INFINITY
  #isClosed = false
  /** CONNECTs that found none open and wait for their answer. */
  #waiting = 0
  #isFillDue = false
  #used = 0
  #missed = 0
  #lost = 0

  constructor(inputs: WarmPoolInputs) {
    this.#inputs = inputs
    this.#wanted = Math.min(1, inputs.limits.maxWarmTunnels)
    this.#changedAt = inputs.now()
  }

  /**
   * One for `handler` from now on; undefined when there is none: then the caller dials. Who gets none that is open says
   * onAnswered() once.
   */
  take(handler: GatewayHandler): Handover | undefined {
    const spare = this.#takeFresh() ?? this.#takeDialled()
    if (spare?.isOpen === true) this.#onUse()
    else this.#onMiss()
    this.#fillSoon()
    return spare?.handTo(handler)
  }

  /** One that was handed out `at` that time is silent. */
  onSilence(at: number): void {
    for (const spare of this.#spares.filter(({ isOpen, heardAt }) => isOpen && heardAt <= at)) {
      this.#lost++
      this.#drop(spare)
    }
    this.#fillSoon()
  }

  /** A CONNECT that found none open has its answer, or waits for it no longer. */
  onAnswered(): void {
    this.#waiting--
    this.#fillSoon()
  }

  /** Keeps alive what rests, drops what is too much or has an old token, opens what is missing. */
  sweep(): void {
    if (this.#inputs.now() - this.#changedAt >= SHRINK_AFTER_MS && this.#wanted > 1) this.#resize(this.#wanted - 1)
    for (const spare of this.#spares.filter((spare) => !this.#isCurrent(spare))) this.#drop(spare)
    for (const spare of this.#spares.filter((spare) => !spare.keepAlive())) {
      this.#drop(spare)
      this.#onEnd(spare)
    }
    while (this.#spares.length > this.#wanted) this.#drop(this.#spares[0] as Spare)
    this.#fill()
  }

  close(): void {
    this.#isClosed = true
    for (const spare of [...this.#spares]) this.#drop(spare)
  }

  statistics(): WarmStatistics {
    const ready = this.#spares.filter(({ isOpen }) => isOpen).length
    const isResting = this.#inputs.now() < this.#restsUntil
    return { ready, used: this.#used, missed: this.#missed, lost: this.#lost, isResting }
  }

  #takeFresh(): Spare | undefined {
    for (const spare of this.#spares.filter(({ isOpen }) => isOpen)) {
      this.#remove(spare)
      if (spare.isFresh && this.#isCurrent(spare)) return spare
      spare.socket?.terminate()
    }
    return undefined
  }

  #takeDialled(): Spare | undefined {
    const now = this.#inputs.now()
    const young = this.#spares.find((spare) => {
      return !spare.isOpen && now - spare.dialledAt < YOUNG_DIAL_MS && this.#isCurrent(spare)
    })
    if (young !== undefined) this.#remove(young)
    return young
  }

  #onUse(): void {
    this.#used++
    this.#unusedEnds = 0
  }

  #onMiss(): void {
    this.#waiting++
    if (this.#inputs.limits.maxWarmTunnels === 0) return
    this.#missed++
    this.#resize(Math.min(this.#wanted + 1, this.#inputs.limits.maxWarmTunnels))
  }

  #resize(wanted: number): void {
    this.#wanted = wanted
    this.#changedAt = this.#inputs.now()
  }

  get #isMissing(): boolean {
    return !this.#isClosed && this.#inputs.now() >= this.#restsUntil && this.#spares.length < this.#wanted
  }

  #fill(): void {
    while (this.#isMissing) this.#open()
  }

  #fillSoon(): void {
    if (this.#isFillDue || this.#waiting > 0 || !this.#isMissing) return
    this.#isFillDue = true
    setImmediate(() => {
      this.#isFillDue = false
      if (this.#waiting > 0 || !this.#isMissing) return
      this.#open()
      this.#fillSoon()
    })
  }

  /** Who lends the token out may throw. Nobody waits for this dial, so nobody is told; the next CONNECT is. */
  #open(): void {
    const { dial, tokenGeneration } = this.#inputs
    const spare = new Spare(this.#inputs, { onOpen: () => this.#onOpen(), onEnd: () => this.#onEnd(spare) })
    this.#spares.push(spare)
    try {
      spare.generation = tokenGeneration()
      spare.socket = dial(spare)
    } catch {
      this.#onEnd(spare)
    }
  }

  /** Whether it was opened with the token of now. */
  #isCurrent({ generation }: Spare): boolean {
    try {
      return generation === this.#inputs.tokenGeneration()
    } catch {
      return false
    }
  }

  #onOpen(): void {
    this.#failures = 0
  }

  #onEnd(spare: Spare): void {
    this.#remove(spare)
    const now = this.#inputs.now()
    if (spare.isOpen) this.#onUnusedEnd(now)
    else if (spare.dialledAt > this.#lastFailureAt) this.#onFailedDial(now)
  }

  #onFailedDial(now: number): void {
    this.#lastFailureAt = now
    this.#restsUntil = now + Math.min(FIRST_RETRY_MS * 2 ** this.#failures++, LEFT_ALONE_MS)
  }

  #onUnusedEnd(now: number): void {
    this.#lost++
    if (now - this.#lastEndAt <= SAME_MOMENT_MS) return
    this.#lastEndAt = now
    this.#unusedEnds++
    if (this.#unusedEnds < MOST_UNUSED_ENDS) return
    this.#unusedEnds = 0
    this.#restsUntil = now + LEFT_ALONE_MS
    for (const other of [...this.#spares]) this.#drop(other)
  }

  #remove(spare: Spare): void {
    const at = this.#spares.indexOf(spare)
    if (at !== -1) this.#spares.splice(at, 1)
  }

  #drop(spare: Spare): void {
    this.#remove(spare)
    spare.socket?.close()
  }
}

/** What a spare tells while it is one. */
interface SpareOwner {
  onOpen(): void
  /** Whether it had opened, or could not be dialled. */
  onEnd(): void
}

/** A WebSocket that waits. */
class Spare implements GatewayHandler {
  /** Of the token that it was dialled with. */
  generation: number | undefined
  readonly dialledAt: number
  socket: GatewaySocket | undefined
  isOpen = false
  heardAt: number
  readonly #inputs: WarmPoolInputs
  readonly #owner: SpareOwner
  readonly #waitsSince: number
  #keepalive: Keepalive

  constructor(inputs: WarmPoolInputs, owner: SpareOwner) {
    this.#inputs = inputs
    this.#owner = owner
    this.#waitsSince = inputs.clock.now
    this.dialledAt = inputs.now()
    this.heardAt = this.dialledAt
    this.#keepalive = this.#startKeepalive()
  }

  get isFresh(): boolean {
    const { pingIntervalMs, pongTimeoutMs } = this.#inputs.limits
    return this.#silentMs <= pingIntervalMs + pongTimeoutMs
  }

  get #silentMs(): number {
    return this.#inputs.now() - this.heardAt
  }

  /** Pings where it is time to; false when there is nobody at the other end. */
  keepAlive(): boolean {
    const { clock, limits, uplink } = this.#inputs
    if (!this.isOpen) return clock.readUntil - this.#waitsSince < limits.dialTimeoutMs
    const action = this.#keepalive.check({
      movedBytes: 0,
      isReadingPaused: false,
      queuedBytes: 0,
      isUplinkFull: uplink.isFull,
    })
    if (action === 'ping') this.socket?.ping()
    return action !== 'dead'
  }

  handTo(handler: GatewayHandler): Handover | undefined {
    this.socket?.handTo(handler)
    if (this.socket === undefined) return undefined
    const isQuiet = this.isOpen && this.#silentMs > this.#inputs.limits.warmSilenceMs
    const { socket, isOpen, generation } = this
    return { socket, isOpen, isQuiet, at: this.#inputs.now(), generation }
  }

  gatewayOnOpen(): void {
    this.isOpen = true
    this.heardAt = this.#inputs.now()
    this.#keepalive = this.#startKeepalive()
    this.#owner.onOpen()
  }

  /** It carries nothing any more. */
  gatewayOnEnd(): void {
    this.socket?.close()
    this.#owner.onEnd()
  }

  gatewayOnPong(): void {
    this.heardAt = this.#inputs.now()
    this.#keepalive.onPong()
  }

  #startKeepalive(): Keepalive {
    return new Keepalive(this.#inputs.limits, this.#inputs.clock)
  }

  gatewayOnDrain(): void {}

  /** A gateway that speaks first says why it ends. */
  gatewayOnData(): void {
    this.socket?.terminate()
    this.#owner.onEnd()
  }

  gatewayOnFailure(error: UpstreamProxyError): void {
    this.#inputs.backoff.onFailure(error)
    this.#owner.onEnd()
  }

  gatewayOnClose(): void {
    this.#owner.onEnd()
  }
}
