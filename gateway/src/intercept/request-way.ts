// The way of a request's body to the origin, or of what a client sends of another protocol: streamed with back-pressure, and
// its beginning kept while it may have to be sent again.

import type { RawFields } from '../fields.js'
import { Refusal } from '../refusal.js'
import type { ExchangeLife, Try } from './exchange-life.js'
import { originTrailers } from './origin-request.js'

export class RequestWay {
  readonly #life: ExchangeLife
  /** There once the whole request has come. */
  #trailers: RawFields | undefined
  #isSentWhole = false

  constructor(life: ExchangeLife) {
    this.#life = life
  }

  /** Whether the last try was sent to its end: only then its connection may serve another request. */
  get isSentWhole(): boolean {
    return this.#isSentWhole
  }

  onData(bytes: Buffer): void {
    const { state, owner, draft, body } = this.#life
    owner.exchangeOnMoved()
    // Nothing of a request whose answer is under way is looked at any more.
    if (state.name === 'ending' || state.name === 'done') return
    draft.requestBytes += bytes.length
    if (state.name === 'checking' || state.name === 'dialling') {
      body.hold(bytes)
      return
    }
    if (state.name !== 'switched') body.pass(bytes)
    if (!state.sent.origin.write(bytes)) this.#life.client.pauseBody()
  }

  /** The whole request has come, or the other protocol is over on the client's side. */
  onEnd(trailers: RawFields): void {
    const { state } = this.#life
    if (state.name === 'switched') {
      state.sent.origin.end([])
      this.#life.endOneWay('client')
      return
    }
    if (this.#trailers !== undefined) return
    this.#trailers = trailers
    if (state.name === 'asking' || state.name === 'renewing' || state.name === 'answering') this.#sendEnd(state.sent)
  }

  /** The origin takes the body now, from its beginning. */
  begin(sent: Try): void {
    this.#isSentWhole = false
    const begun = this.#life.body.replay()
    if (begun.length > 0) sent.origin.write(begun)
    if (this.#trailers !== undefined) this.#sendEnd(sent)
    else this.#life.client.resumeBody()
  }

  /** What is still to come may come. */
  resume(): void {
    if (this.#trailers === undefined) this.#life.client.resumeBody()
  }

  /** A body of another length than it said would leave the origin waiting for the rest. */
  #sendEnd(sent: Try): void {
    const { bodyLength } = sent.matched.head
    if (typeof bodyLength === 'number' && bodyLength !== this.#life.body.bytes) {
      this.#life.refuse(new Refusal('bad-request', 'the body has not the length that its head says'))
      return
    }
    this.#isSentWhole = true
    sent.origin.end(originTrailers(this.#trailers ?? [], sent.ruled.injected))
    if (this.#life.state.name === 'asking') this.#life.waitForAnswer()
  }
}
