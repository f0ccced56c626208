// One request of an intercepted tunnel: checked, sent to the origin, its answer streamed back, audited. The same for every
// pair of protocols. It has no I/O: both sides are behind interfaces, and the states stand in exchange-state.ts.
//
// Rules:
// - Bodies are streamed with back-pressure; of a request's only the beginning is kept, while it may have to be sent again.
// - An answer that the origin gave before it had the whole request is passed on. Its connection is given up then: bytes are
//   counted, and only a request that was written to its end leaves a connection for the next one.
// - Every request has one line in the audit, written when the client's side is closed.

import type { Authority } from 'ccr-upstream-proxy/protocol'
import type { AuditErrorCode, InterceptAuditRecord } from '../audit/audit-record.js'
import { applyRule, applyRuleAfter401, type RuledFields } from '../credentials/apply-rule.js'
import { Redactor } from '../credentials/redactor.js'
import { type RawFields, valuesOf } from '../fields.js'
import { originRefusal } from '../origin/origin-refusal.js'
import type { RuledHost } from '../policy/rule.js'
import { Refusal } from '../refusal.js'
import type { ClientExchange, ClientHandler } from './client-exchange.js'
import { type ExchangeEvent, type ExchangeStateName, nextExchangeState } from './exchange-state.js'
import { Guard } from './guard.js'
import { type MatchedRequest, matchRequest } from './matched-request.js'
import type { Done, Origin, OriginAnswer, OriginExchange, OriginHandler } from './origin-exchange.js'
import { clientFields, originRequest, originTrailers } from './origin-request.js'
import { RequestBody } from './request-body.js'
import { hasBody } from './request-head.js'

/** What a request needs to know of its tunnel. */
export interface InterceptedTunnel {
  readonly id: string
  readonly sessionId: string
  readonly authority: Authority
  readonly host: RuledHost
  readonly origin: Origin
  readonly responseHeadTimeoutMs: number
  readonly audit: (record: InterceptAuditRecord) => void
  /**
   * Takes a request off what the session may make.
   * @throws {Refusal}
   */
  readonly admitRequest: () => void
  /** Says to the operator that a listener threw: that is a defect of the gateway. */
  readonly reportDefect: (thrown: unknown) => void
  /** Calls back after `ms`, once; the function it gives back stops that. */
  readonly schedule: (ms: number, callback: () => void) => () => void
}

/** What hears of a request's work and of its end. */
export interface ExchangeOwner {
  /** A head or a part of a body came or went. */
  exchangeOnMoved(): void
  /** @param isAnswered the client got an answer, or the word that nothing was done with its request */
  exchangeOnDone(isAnswered: boolean): void
}

/** Interim answers before the final one. Real origins send one or two (100, 103); a flood never ends. */
const MAX_INTERIM_ANSWERS = 16
/** Times that one request is sent: a connection may have been closed under it, and its credential may be old. */
const MAX_TRIES = 4
/**
 * Times besides these that an origin may say to have done nothing with it. nginx with `keepalive_requests 10` takes ten of the
 * hundred streams that a client may have open, and closes the connection: the last one has its turn on the tenth.
 */
const MAX_UNDONE_TRIES = 20

/** One try of a request at the origin. */
interface Try {
  readonly matched: MatchedRequest
  readonly ruled: RuledFields
  readonly redactor: Redactor
  readonly number: number
  /** Tries before this one with which the origin has done nothing. */
  readonly undone: number
  /** It follows a 401: another one is the answer. */
  readonly isRenewed: boolean
  readonly origin: OriginExchange
}

type ExchangeState =
  | { readonly name: 'checking' }
  | { readonly name: 'dialling'; readonly sent: Try }
  | { readonly name: 'asking'; readonly sent: Try }
  | { readonly name: 'renewing'; readonly sent: Try; readonly held: OriginAnswer }
  /** `expectedBytes`: what the answer's Content-Length said. */
  | { readonly name: 'answering'; readonly sent: Try; readonly expectedBytes: number | undefined }
  | { readonly name: 'switched'; readonly sent: Try; readonly ended: 'none' | 'client' | 'origin' }
  | { readonly name: 'ending' }
  | { readonly name: 'done' }

export class Exchange {
  readonly #client: ClientExchange
  readonly #tunnel: InterceptedTunnel
  readonly #owner: ExchangeOwner
  readonly #guard = new Guard((thrown) => this.#onDefect(thrown))
  readonly #time = new Date()
  readonly #body = new RequestBody()
  #state: ExchangeState = { name: 'checking' }
  /** The last try, which the audit is about. */
  #sent: Try | undefined
  #matched: MatchedRequest | undefined
  #requestTrailers: RawFields | undefined
  #isSentWhole = false
  #interimAnswers = 0
  #stopWaiting = () => {}
  #status = 0
  #switchedBytes = 0
  #responseBytes = 0
  #error: AuditErrorCode | undefined

  constructor(client: ClientExchange, tunnel: InterceptedTunnel, owner: ExchangeOwner) {
    this.#client = client
    this.#tunnel = tunnel
    this.#owner = owner
  }

  /** Handles the request; its owner hears of its end. */
  start(): void {
    this.#owner.exchangeOnMoved()
    this.#client.start(this.#clientHandler())
    this.#guard.wrap(() => {
      try {
        const head = this.#client.readHead()
        this.#tunnel.admitRequest()
        const matched = matchRequest(head, this.#tunnel.authority, this.#tunnel.host)
        this.#matched = matched
        if (!hasBody(head)) this.#requestTrailers = []
        const onApplied = (ruled: RuledFields) => {
          this.#send('pass', { matched, ruled, number: 1, undone: 0, isRenewed: false })
        }
        const onFailure = (error: unknown) => this.refuse(originRefusal(error))
        applyRule(matched.outgoing, matched.rule).then(this.#ifChecking(onApplied), this.#ifChecking(onFailure))
      } catch (error) {
        this.refuse(originRefusal(error))
      }
    })()
  }

  /** Answers with a refusal in the place of the origin, or cuts an answer off that has begun. */
  refuse(refusal: Refusal): void {
    if (this.#state.name === 'ending' || this.#state.name === 'done') return
    this.#error = refusal.code
    if (this.#state.name === 'answering' || this.#state.name === 'switched') {
      this.#cutOff()
      return
    }
    this.#dropOrigin()
    this.#enter('refuse', { name: 'ending' })
    this.#status = refusal.status
    this.#client.refuse(refusal)
  }

  /** The tunnel is closed. */
  leave(): void {
    // Of another protocol it is not known where it ends.
    this.#close(this.#status === 101)
  }

  /** Ends the request with `code` in the audit, and without another word to the client. */
  abort(code: AuditErrorCode): void {
    if (this.#state.name === 'done') return
    this.#error ??= code
    this.#close(false)
  }

  #ifChecking<A>(next: (result: A) => void): (result: A) => void {
    return this.#guard.wrap((result) => {
      if (this.#state.name === 'checking') next(result)
    })
  }

  #enter(event: ExchangeEvent, next: ExchangeState): void {
    const name: ExchangeStateName = nextExchangeState(this.#state.name, event)
    if (next.name !== name) throw new Error(`${event} leads to ${name}, and not to ${next.name}`)
    this.#state = next
  }

  // -- The client ----------------------------------------------------------------------------------------------------

  #clientHandler(): ClientHandler {
    return {
      clientOnData: this.#guard.wrap((bytes) => this.#onClientData(bytes)),
      clientOnEnd: this.#guard.wrap((trailers) => this.#onClientEnd(trailers)),
      clientOnFailure: this.#guard.wrap((refusal) => this.refuse(refusal)),
      clientOnDrain: this.#guard.wrap(() => this.#onClientDrain()),
      clientOnClose: this.#guard.wrap((isWhole) => this.#close(isWhole)),
    }
  }

  #onClientData(bytes: Buffer): void {
    this.#owner.exchangeOnMoved()
    const state = this.#state
    switch (state.name) {
      case 'checking':
      case 'dialling':
        this.#body.hold(bytes)
        return
      case 'asking':
      case 'renewing':
      case 'answering':
        this.#body.pass(bytes)
        if (!state.sent.origin.write(bytes)) this.#client.pauseBody()
        return
      case 'switched':
        this.#switchedBytes += bytes.length
        if (!state.sent.origin.write(bytes)) this.#client.pauseBody()
        return
      default:
        return // Nothing of a request whose answer is under way is looked at any more.
    }
  }

  #onClientEnd(trailers: RawFields): void {
    const state = this.#state
    if (state.name === 'switched') {
      state.sent.origin.end([])
      this.#endOneWay('client')
      return
    }
    if (this.#requestTrailers !== undefined) return
    this.#requestTrailers = trailers
    if (state.name === 'asking' || state.name === 'renewing' || state.name === 'answering') this.#sendEnd(state.sent)
  }

  #onClientDrain(): void {
    if (this.#state.name === 'answering' || this.#state.name === 'switched') this.#state.sent.origin.resumeBody()
  }

  // -- The origin ----------------------------------------------------------------------------------------------------

  #send(event: 'pass' | 'retry', next: Omit<Try, 'origin' | 'redactor'>): void {
    const { matched, ruled, number } = next
    // What the origin of an earlier try still does is no concern of this one.
    const ifCurrent = <A extends unknown[]>(listener: (sent: Try, ...args: A) => void) =>
      this.#guard.wrap((...args: A) => {
        if (this.#sent?.number === number) listener(this.#sent, ...args)
      })
    const handler: OriginHandler = {
      originOnOpen: ifCurrent((sent) => this.#onOpen(sent)),
      originOnInterim: ifCurrent((sent, status, fields) => this.#onInterim(sent, status, fields)),
      originOnAnswer: ifCurrent((sent, answer) => this.#onAnswer(sent, answer)),
      originOnData: ifCurrent((_sent, bytes) => this.#onOriginData(bytes)),
      originOnEnd: ifCurrent((sent, trailers) => this.#onOriginEnd(sent, trailers)),
      originOnDrain: ifCurrent(() => this.#client.resumeBody()),
      originOnFailure: ifCurrent((sent, refusal, done) => this.#onFailure(sent, refusal, done)),
    }
    const origin = this.#tunnel.origin.send(originRequest(matched, ruled), handler)
    this.#sent = { ...next, redactor: new Redactor(ruled.secrets), origin }
    this.#isSentWhole = false
    this.#enter(event, { name: 'dialling', sent: this.#sent })
  }

  #onOpen(sent: Try): void {
    this.#enter('open', { name: 'asking', sent })
    const begun = this.#body.replay()
    if (begun.length > 0) sent.origin.write(begun)
    if (this.#requestTrailers !== undefined) this.#sendEnd(sent)
    else this.#client.resumeBody()
  }

  /** The whole request has come. A body of another length than it said would leave the origin waiting for the rest. */
  #sendEnd(sent: Try): void {
    const { bodyLength } = sent.matched.head
    if (typeof bodyLength === 'number' && bodyLength !== this.#body.bytes) {
      this.refuse(new Refusal('bad-request', 'the body has not the length that its head says'))
      return
    }
    this.#isSentWhole = true
    sent.origin.end(originTrailers(this.#requestTrailers ?? [], sent.ruled.injected))
    if (this.#state.name !== 'asking') return
    // The wait begins when the origin has the whole request: a long upload is not a slow answer.
    const ms = this.#tunnel.responseHeadTimeoutMs
    this.#stopWaiting = this.#tunnel.schedule(
      ms,
      this.#guard.wrap(() => this.refuse(new Refusal('response-timeout', `the origin did not answer in ${ms} ms`))),
    )
  }

  #onInterim({ redactor }: Try, status: number, fields: RawFields): void {
    if (this.#state.name !== 'asking') return
    this.#interimAnswers++
    if (this.#interimAnswers > MAX_INTERIM_ANSWERS) {
      this.refuse(new Refusal('response-invalid', 'the origin sent too many interim answers'))
    } else this.#client.sendInterim(status, redactor.fields(fields))
  }

  #onAnswer(sent: Try, answer: OriginAnswer): void {
    this.#stopWaiting()
    if (answer.isSwitched) this.#switch(sent, answer)
    else if (answer.status === 401 && !sent.isRenewed) this.#onUnauthorized(sent, answer)
    else this.#answer(sent, answer)
  }

  /** A credential may have ended since it was read: it is renewed, and the request sent again where that is possible. */
  #onUnauthorized(sent: Try, answer: OriginAnswer): void {
    const { outgoing, rule } = sent.matched
    if (sent.ruled.injected.length === 0) {
      this.#answer(sent, answer)
      return
    }
    const renewal = applyRuleAfter401(outgoing, rule, sent.ruled)
    if (!this.#body.isReplayable || !mayTryAgain(sent)) {
      renewal.catch(() => {})
      this.#answer(sent, answer)
      return
    }
    this.#client.pauseBody()
    this.#enter('renew', { name: 'renewing', sent, held: answer })
    const onRenewed = this.#guard.wrap((renewed: RuledFields | undefined) => this.#onRenewed(sent, renewed))
    renewal.then(onRenewed, () => onRenewed(undefined))
  }

  #onRenewed(sent: Try, ruled: RuledFields | undefined): void {
    if (this.#state.name !== 'renewing' || this.#state.sent !== sent) return
    if (ruled === undefined || !this.#body.isReplayable) {
      this.#answer(sent, this.#state.held)
      return
    }
    sent.origin.destroy()
    this.#send('retry', { ...sent, ruled, number: sent.number + 1, isRenewed: true })
  }

  #answer(sent: Try, { status, reason, fields, hasBody }: OriginAnswer): void {
    const { redactor } = sent
    const [length] = hasBody ? valuesOf(fields, 'content-length') : []
    this.#body.forget()
    this.#status = status
    this.#enter('answer', {
      name: 'answering',
      sent,
      expectedBytes: length === undefined ? undefined : Number(length),
    })
    this.#client.sendHead({
      status,
      reason: redactor.text(reason),
      fields: redactor.fields(clientFields(fields)),
      hasBody,
    })
    sent.origin.resumeBody()
    if (this.#requestTrailers === undefined) this.#client.resumeBody()
  }

  #onOriginData(bytes: Buffer): void {
    this.#owner.exchangeOnMoved()
    const state = this.#state
    if (state.name !== 'answering' && state.name !== 'switched') return
    this.#responseBytes += bytes.length
    if (!this.#client.write(bytes)) state.sent.origin.pauseBody()
  }

  #onOriginEnd({ redactor }: Try, trailers: RawFields): void {
    const state = this.#state
    if (state.name === 'switched') {
      this.#client.end([])
      this.#endOneWay('origin')
      return
    }
    if (state.name !== 'answering') return
    if (state.expectedBytes !== undefined && state.expectedBytes !== this.#responseBytes) {
      this.#error ??= 'upstream-aborted'
      this.#cutOff()
      return
    }
    if (!this.#isSentWhole) this.#dropOrigin()
    this.#enter('finish', { name: 'ending' })
    this.#client.end(redactor.fields(trailers))
  }

  #onFailure(sent: Try, refusal: Refusal, done: Done): void {
    const { name } = this.#state
    if (name === 'answering' || name === 'switched') {
      this.#error ??= 'upstream-aborted'
      this.#cutOff()
    } else if (done !== 'unknown' && (name === 'dialling' || name === 'asking')) {
      this.#sendAgain({ ...sent, undone: sent.undone + (done === 'nothing' ? 1 : 0) }, refusal, done)
    } else this.refuse(refusal)
  }

  /** Sends the request once more, or where that cannot be, leaves it to the client. */
  #sendAgain(sent: Try, refusal: Refusal, done: Done): void {
    if (this.#body.isReplayable && mayTryAgain(sent)) {
      this.#stopWaiting()
      this.#client.pauseBody()
      this.#send('retry', { ...sent, number: sent.number + 1 })
    } else if (done === 'nothing') {
      this.#error = refusal.code
      this.#dropOrigin()
      this.#enter('refuse', { name: 'ending' })
      this.#status = this.#client.giveBack(refusal)
    } else this.refuse(refusal)
  }

  /** From here on it is no HTTP any more: bytes go both ways until both are done. */
  #switch(sent: Try, { status, fields }: OriginAnswer): void {
    this.#body.forget()
    this.#status = status
    this.#enter('switch', { name: 'switched', sent, ended: 'none' })
    this.#client.switchProtocols(sent.redactor.fields(clientFields(fields)))
    sent.origin.resumeBody()
    this.#client.resumeBody()
  }

  #endOneWay(side: 'client' | 'origin'): void {
    if (this.#state.name !== 'switched' || this.#state.ended === side) return
    if (this.#state.ended === 'none') this.#enter('half-close', { ...this.#state, ended: side })
    else this.#enter('finish', { name: 'ending' })
  }

  // -- The end -------------------------------------------------------------------------------------------------------

  #cutOff(): void {
    this.#dropOrigin()
    this.#enter('cut', { name: 'ending' })
    this.#client.cutOff()
  }

  #dropOrigin(): void {
    this.#stopWaiting()
    this.#body.forget()
    this.#sent?.origin.destroy()
  }

  #close(isWhole: boolean): void {
    const { name } = this.#state
    if (name === 'done') return
    if (!isWhole || (name !== 'ending' && name !== 'switched')) this.#error ??= 'client-closed'
    if (name !== 'ending') this.#dropOrigin()
    this.#enter('close', { name: 'done' })
    this.#audit()
    this.#owner.exchangeOnDone(this.#status !== 0 || name === 'ending')
  }

  /** A listener threw: what it was about cannot be trusted any more. */
  #onDefect(thrown: unknown): void {
    this.#tunnel.reportDefect(thrown)
    if (this.#state.name === 'done') return
    this.#error = 'internal'
    for (const letGo of [() => this.#dropOrigin(), () => this.#client.cutOff()]) {
      try {
        letGo()
      } catch {
        // It is what is broken, perhaps; the other one still has to go.
      }
    }
    this.#close(false)
  }

  #audit(): void {
    const { id, sessionId, authority, audit } = this.#tunnel
    const { method, target } = this.#client
    const rule = this.#matched?.ruleName
    audit({
      time: this.#time.toISOString(),
      session: sessionId,
      mode: 'intercept',
      tunnel: id,
      method,
      host: authority.host,
      port: authority.port,
      path: pathOf(target),
      status: this.#status,
      requestBytes: this.#body.bytes + this.#switchedBytes,
      responseBytes: this.#responseBytes,
      ms: Date.now() - this.#time.getTime(),
      injected: this.#sent?.ruled.injected ?? [],
      ...(rule !== undefined && { rule }),
      ...(this.#error !== undefined && { error: this.#error }),
    })
  }
}

function mayTryAgain({ number, undone }: Try): boolean {
  return undone <= MAX_UNDONE_TRIES && number - undone < MAX_TRIES
}

/** Without the query, and without the userinfo that an absolute target could carry. */
function pathOf(target: string): string {
  if (!target.startsWith('/')) return target === '*' ? '*' : ''
  return target.split(/[?#]/, 1)[0] as string
}
