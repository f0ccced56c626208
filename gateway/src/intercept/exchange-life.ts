// The life of one intercepted request: its state with what belongs to it, and every way to end it. The table of the states is
// in exchange-state.ts; what goes from one side to the other is in request-way.ts and answer-way.ts.

import type { AuditErrorCode } from '../audit/audit-record.js'
import type { RuledFields } from '../credentials/apply-rule.js'
import type { Redactor } from '../credentials/redactor.js'
import { Guard } from '../guard.js'
import { Refusal } from '../refusal.js'
import { AuditDraft } from './audit-draft.js'
import type { ClientExchange, HandedOver } from './client-exchange.js'
import { type ExchangeEvent, type ExchangeStateName, nextExchangeState } from './exchange-state.js'
import type { InterceptedTunnel } from './intercepted-tunnel.js'
import type { MatchedRequest } from './matched-request.js'
import type { OriginAnswer, OriginExchange } from './origin-exchange.js'
import { RequestBody } from './request-body.js'

/** What hears of a request's work and of its end. */
export interface ExchangeOwner {
  /** A head or a part of a body came or went. */
  exchangeOnMoved(): void
  /** @param isAnswered the client got an answer, or the word that nothing was done with its request */
  exchangeOnDone(isAnswered: boolean): void
}

/** One try of a request at the origin. */
export interface Try {
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

export type ExchangeState =
  | { readonly name: 'checking' }
  | { readonly name: 'dialling'; readonly sent: Try }
  | { readonly name: 'asking'; readonly sent: Try }
  /** `isLost`: what the held answer was to have for a body does not come any more. */
  | { readonly name: 'renewing'; readonly sent: Try; readonly held: OriginAnswer; readonly isLost: boolean }
  | { readonly name: 'answering'; readonly sent: Try }
  | { readonly name: 'switched'; readonly sent: Try; readonly ended: 'none' | 'client' | 'origin' }
  | { readonly name: 'ending' }
  | { readonly name: 'done' }

export class ExchangeLife {
  readonly client: ClientExchange
  readonly tunnel: InterceptedTunnel
  readonly owner: ExchangeOwner
  readonly guard = new Guard((thrown) => this.#onDefect(thrown))
  readonly body = new RequestBody()
  readonly draft = new AuditDraft()
  #state: ExchangeState = { name: 'checking' }
  #sent: Try | undefined
  #stopWaiting = () => {}
  #leavePlace = () => {}

  constructor(client: ClientExchange, tunnel: InterceptedTunnel, owner: ExchangeOwner) {
    this.client = client
    this.tunnel = tunnel
    this.owner = owner
  }

  get state(): ExchangeState {
    return this.#state
  }

  /** The last try. */
  get sent(): Try | undefined {
    return this.#sent
  }

  enter(event: ExchangeEvent, next: ExchangeState): void {
    const name: ExchangeStateName = nextExchangeState(this.#state.name, event)
    if (next.name !== name) throw new Error(`${event} leads to ${name}, and not to ${next.name}`)
    this.#stopWaiting()
    this.#state = next
    if (next.name !== 'dialling') return
    this.#sent = next.sent
    this.draft.injected = next.sent.ruled.injected
  }

  /**
   * Takes a place among the requests of the session, until the end.
   * @throws {Refusal}
   */
  admit(): void {
    this.#leavePlace = this.tunnel.admitRequest()
  }

  /** The wait for the answer: it begins when the origin has the whole request, since a long upload is not a slow answer. */
  waitForAnswer(): void {
    const ms = this.tunnel.responseHeadTimeoutMs
    this.#stopWaiting = this.tunnel.schedule(
      ms,
      this.guard.wrap(() => this.refuse(new Refusal('response-timeout', `the origin did not answer in ${ms} ms`))),
    )
  }

  /** Answers with a refusal in the place of the origin, or cuts an answer off that has begun. */
  refuse(refusal: Refusal): void {
    const { name } = this.#state
    if (name === 'ending' || name === 'done') return
    this.draft.error = refusal.code
    if (name === 'answering' || name === 'switched') {
      this.cutOff(refusal.code)
      return
    }
    if (refusal.code === 'internal') this.tunnel.reportDefect(refusal.cause)
    this.#endInPlaceOfOrigin(refusal)
    this.draft.status = refusal.status
    this.client.refuse(refusal)
  }

  /** Nothing was done with the request: whether to send it again is left to the client. */
  giveBack(refusal: Refusal): void {
    this.#endInPlaceOfOrigin(refusal)
    this.draft.status = this.client.giveBack(refusal)
  }

  /** Breaks an answer off that has begun. */
  cutOff(code: AuditErrorCode): void {
    this.draft.error ??= code
    this.dropOrigin()
    this.enter('cut', { name: 'ending' })
    this.client.cutOff()
  }

  /** One side is done with the other protocol. */
  endOneWay(side: 'client' | 'origin'): void {
    if (this.#state.name !== 'switched' || this.#state.ended === side) return
    if (this.#state.ended === 'none') this.enter('half-close', { ...this.#state, ended: side })
    else this.enter('finish', { name: 'ending' })
  }

  dropOrigin(): void {
    this.body.forget()
    this.#sent?.origin.destroy()
  }

  /** The tunnel is closed. */
  leave(): void {
    // Of another protocol it is not known where it ends.
    this.close(this.draft.status === 101 ? 'to-its-end' : 'in-part')
  }

  /** Ends the request with `code` in the audit, and without another word to the client. */
  abort(code: AuditErrorCode): void {
    if (this.#state.name === 'done') return
    this.draft.error ??= code
    this.close('in-part')
  }

  /** The client's side is closed. */
  close(handedOver: HandedOver, reason: AuditErrorCode = 'client-closed'): void {
    const { name } = this.#state
    if (name === 'done') return
    const isOver = name === 'ending' || name === 'switched'
    const isWhole = handedOver === 'to-its-end' ? isOver : handedOver === 'so-far' && this.draft.isBodyWhole
    if (!isWhole) this.draft.error ??= reason
    if (name !== 'ending') this.dropOrigin()
    this.enter('close', { name: 'done' })
    this.#leavePlace()
    this.tunnel.audit(this.draft.record(this.tunnel, this.client))
    this.owner.exchangeOnDone(this.draft.status !== 0 || name === 'ending')
  }

  #endInPlaceOfOrigin(refusal: Refusal): void {
    this.draft.error = refusal.code
    this.dropOrigin()
    this.enter('refuse', { name: 'ending' })
  }

  /** A listener threw: what it was about cannot be trusted any more. */
  #onDefect(thrown: unknown): void {
    this.tunnel.reportDefect(thrown)
    if (this.#state.name === 'done') return
    this.draft.error = 'internal'
    for (const letGo of [() => this.dropOrigin(), () => this.client.cutOff()]) {
      try {
        letGo()
      } catch {
        // It is what is broken, perhaps; the other one still has to go.
      }
    }
    this.close('in-part')
  }
}
