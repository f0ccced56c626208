// One request of an intercepted tunnel: checked, sent to the origin, once more where that is safe, its answer streamed back,
// audited. The same for every pair of protocols. It has no I/O: both sides are behind interfaces. Its states and its ends are
// in exchange-life.ts, the bytes in request-way.ts and answer-way.ts; here is what is asked of the origin, and how often.
//
// Rules:
// - Bodies are streamed with back-pressure; of a request's only the beginning is kept, while it may have to be sent again.
// - An answer that the origin gave before it had the whole request is passed on. Its connection is given up then: bytes are
//   counted, and only a request that was written to its end leaves a connection for the next one.
// - Every request has one line in the audit, written when the client's side is closed.

import type { AuditErrorCode } from '../audit/audit-record.js'
import { applyRule, applyRuleAfter401, type RuledFields } from '../credentials/apply-rule.js'
import { Redactor } from '../credentials/redactor.js'
import { originRefusal } from '../origin/origin-refusal.js'
import type { Refusal } from '../refusal.js'
import { AnswerWay } from './answer-way.js'
import type { ClientExchange, ClientHandler } from './client-exchange.js'
import { ExchangeLife, type ExchangeOwner, type Try } from './exchange-life.js'
import type { InterceptedTunnel } from './intercepted-tunnel.js'
import { matchRequest } from './matched-request.js'
import type { Done, OriginAnswer, OriginHandler } from './origin-exchange.js'
import { originRequest } from './origin-request.js'
import { hasBody } from './request-head.js'
import { RequestWay } from './request-way.js'

/** Times that one request is sent: a connection may have been closed under it, and its credential may be old. */
const MAX_TRIES = 4
/**
 * Times besides these that an origin may say to have done nothing with it. nginx with `keepalive_requests 10` takes ten of the
 * hundred streams that a client may have open, and closes the connection: the last one has its turn on the tenth.
 */
const MAX_UNDONE_TRIES = 20

export class Exchange {
  readonly #client: ClientExchange
  readonly #tunnel: InterceptedTunnel
  readonly #life: ExchangeLife
  readonly #request: RequestWay
  readonly #answer: AnswerWay

  constructor(client: ClientExchange, tunnel: InterceptedTunnel, owner: ExchangeOwner) {
    this.#client = client
    this.#tunnel = tunnel
    this.#life = new ExchangeLife(client, tunnel, owner)
    this.#request = new RequestWay(this.#life)
    this.#answer = new AnswerWay(this.#life, this.#request)
  }

  /** Handles the request; its owner hears of its end. */
  start(): void {
    this.#life.owner.exchangeOnMoved()
    this.#client.start(this.#clientHandler())
    this.#life.guard.wrap(() => {
      try {
        this.#check()
      } catch (error) {
        this.#life.refuse(originRefusal(error))
      }
    })()
  }

  /** The tunnel is closed. */
  leave(): void {
    this.#life.leave()
  }

  /** Ends the request with `code` in the audit, and without another word to the client. */
  abort(code: AuditErrorCode): void {
    this.#life.abort(code)
  }

  /** @throws {Refusal} */
  #check(): void {
    const head = this.#client.readHead()
    this.#life.admit()
    const matched = matchRequest(head, this.#tunnel.authority, this.#tunnel.host)
    this.#life.draft.rule = matched.ruleName
    if (!hasBody(head)) this.#request.onEnd([])
    const onApplied = (ruled: RuledFields) => {
      this.#send('pass', { matched, ruled, number: 1, undone: 0, isRenewed: false })
    }
    const onFailure = (error: unknown) => this.#life.refuse(originRefusal(error))
    applyRule(matched.outgoing, matched.rule).then(this.#ifChecking(onApplied), this.#ifChecking(onFailure))
  }

  #ifChecking<A>(next: (result: A) => void): (result: A) => void {
    return this.#life.guard.wrap((result) => {
      if (this.#life.state.name === 'checking') next(result)
    })
  }

  #clientHandler(): ClientHandler {
    const { guard } = this.#life
    return {
      clientOnData: guard.wrap((bytes) => this.#request.onData(bytes)),
      clientOnEnd: guard.wrap((trailers) => this.#request.onEnd(trailers)),
      clientOnFailure: guard.wrap((refusal) => this.#life.refuse(refusal)),
      clientOnDrain: guard.wrap(() => this.#answer.resume()),
      clientOnClose: guard.wrap((handedOver, reason) => this.#life.close(handedOver, reason)),
    }
  }

  #send(event: 'pass' | 'retry', next: Omit<Try, 'origin' | 'redactor'>): void {
    const { matched, ruled, number } = next
    const origin = this.#tunnel.origin.send(originRequest(matched, ruled), this.#originHandler(number))
    const sent = { ...next, redactor: new Redactor(ruled.secrets), origin }
    this.#life.enter(event, { name: 'dialling', sent })
  }

  #originHandler(number: number): OriginHandler {
    // What the origin of an earlier try still does is no concern of this one.
    const ifCurrent = <A extends unknown[]>(listener: (sent: Try, ...args: A) => void) =>
      this.#life.guard.wrap((...args: A) => {
        const { sent } = this.#life
        if (sent?.number === number) listener(sent, ...args)
      })
    return {
      originOnOpen: ifCurrent((sent) => this.#onOpen(sent)),
      originOnInterim: ifCurrent((sent, status, fields) => this.#answer.onInterim(sent, status, fields)),
      originOnAnswer: ifCurrent((sent, answer) => this.#onAnswer(sent, answer)),
      originOnData: ifCurrent((_sent, bytes) => this.#answer.onData(bytes)),
      originOnEnd: ifCurrent((sent, trailers) => this.#answer.onEnd(sent, trailers)),
      originOnDrain: ifCurrent(() => this.#client.resumeBody()),
      originOnFailure: ifCurrent((sent, refusal, done) => this.#onFailure(sent, refusal, done)),
    }
  }

  #onOpen(sent: Try): void {
    this.#life.enter('open', { name: 'asking', sent })
    this.#request.begin(sent)
  }

  #onAnswer(sent: Try, answer: OriginAnswer): void {
    if (answer.isSwitched) this.#answer.switchProtocols(sent, answer)
    else if (answer.status === 401 && !sent.isRenewed) this.#onUnauthorized(sent, answer)
    else this.#answer.begin(sent, answer)
  }

  /** A credential may have ended since it was read: it is renewed, and the request sent again where that is possible. */
  #onUnauthorized(sent: Try, answer: OriginAnswer): void {
    const { outgoing, rule } = sent.matched
    if (sent.ruled.injected.length === 0) {
      this.#answer.begin(sent, answer)
      return
    }
    const renewal = applyRuleAfter401(outgoing, rule, sent.ruled)
    if (!this.#life.body.isReplayable || !mayTryAgain(sent)) {
      renewal.catch(() => {})
      this.#answer.begin(sent, answer)
      return
    }
    this.#client.pauseBody()
    this.#life.enter('renew', { name: 'renewing', sent, held: answer, isLost: false })
    const onRenewed = this.#life.guard.wrap((renewed: RuledFields | undefined) => this.#onRenewed(sent, renewed))
    renewal.then(onRenewed, () => onRenewed(undefined))
  }

  #onRenewed(sent: Try, ruled: RuledFields | undefined): void {
    const { state, body } = this.#life
    if (state.name !== 'renewing' || state.sent !== sent) return
    if (ruled === undefined || !body.isReplayable) {
      this.#answer.begin(sent, state.held)
      if (state.isLost) this.#life.cutOff('upstream-aborted')
      return
    }
    sent.origin.destroy()
    this.#send('retry', { ...sent, ruled, number: sent.number + 1, isRenewed: true })
  }

  #onFailure(sent: Try, refusal: Refusal, done: Done): void {
    const { state } = this.#life
    const { name } = state
    if (name === 'answering' || name === 'switched') this.#life.cutOff('upstream-aborted')
    else if (name === 'renewing') this.#life.enter('lose', { ...state, isLost: true })
    else if (done !== 'unknown' && (name === 'dialling' || name === 'asking')) {
      this.#sendAgain({ ...sent, undone: sent.undone + (done === 'nothing' ? 1 : 0) }, refusal, done)
    } else this.#life.refuse(refusal)
  }

  /** Sends the request once more, or where that cannot be, leaves it to the client. */
  #sendAgain(sent: Try, refusal: Refusal, done: Done): void {
    if (this.#life.body.isReplayable && mayTryAgain(sent)) {
      this.#client.pauseBody()
      this.#send('retry', { ...sent, number: sent.number + 1 })
    } else if (done === 'nothing') this.#life.giveBack(refusal)
    else this.#life.refuse(refusal)
  }
}

function mayTryAgain({ number, undone }: Try): boolean {
  return undone <= MAX_UNDONE_TRIES && number - undone < MAX_TRIES
}
