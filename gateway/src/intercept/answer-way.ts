// The way of the origin's answer to the client, or of what an origin sends of another protocol: redacted, and streamed with
// back-pressure.

import { type RawFields, valuesOf } from '../fields.js'
import { Refusal } from '../refusal.js'
import type { ExchangeLife, Try } from './exchange-life.js'
import type { OriginAnswer } from './origin-exchange.js'
import { clientFields } from './origin-request.js'
import type { RequestWay } from './request-way.js'

/** Interim answers before the final one. Real origins send one or two (100, 103); a flood never ends. */
const MAX_INTERIM_ANSWERS = 16

export class AnswerWay {
  readonly #life: ExchangeLife
  readonly #request: RequestWay
  #interimAnswers = 0

  constructor(life: ExchangeLife, request: RequestWay) {
    this.#life = life
    this.#request = request
  }

  onInterim({ redactor }: Try, status: number, fields: RawFields): void {
    if (this.#life.state.name !== 'asking') return
    this.#interimAnswers++
    if (this.#interimAnswers > MAX_INTERIM_ANSWERS) {
      this.#life.refuse(new Refusal('response-invalid', 'the origin sent too many interim answers'))
    } else this.#life.client.sendInterim(status, redactor.fields(fields))
  }

  /** The final answer, which is the client's. */
  begin(sent: Try, { status, reason, fields, hasBody }: OriginAnswer): void {
    const { client, body, draft } = this.#life
    const { redactor } = sent
    const [length] = hasBody ? valuesOf(fields, 'content-length') : []
    body.forget()
    draft.status = status
    draft.expectedBytes = length === undefined ? undefined : Number(length)
    this.#life.enter('answer', { name: 'answering', sent })
    client.sendHead({ status, reason: redactor.text(reason), fields: redactor.fields(clientFields(fields)), hasBody })
    sent.origin.resumeBody()
    this.#request.resume()
  }

  /** From here on it is no HTTP any more: bytes go both ways until both are done. */
  switchProtocols(sent: Try, { status, fields }: OriginAnswer): void {
    const { client, body, draft } = this.#life
    body.forget()
    draft.status = status
    this.#life.enter('switch', { name: 'switched', sent, ended: 'none' })
    client.switchProtocols(sent.redactor.fields(clientFields(fields)))
    sent.origin.resumeBody()
    client.resumeBody()
  }

  onData(bytes: Buffer): void {
    const { state, owner, draft, client } = this.#life
    owner.exchangeOnMoved()
    if (state.name !== 'answering' && state.name !== 'switched') return
    draft.responseBytes += bytes.length
    if (!client.write(bytes)) state.sent.origin.pauseBody()
  }

  /** The whole answer has come, or the other protocol is over on the origin's side. */
  onEnd({ redactor }: Try, trailers: RawFields): void {
    const { state, draft, client } = this.#life
    if (state.name === 'switched') {
      client.end([])
      this.#life.endOneWay('origin')
      return
    }
    if (state.name !== 'answering') return
    if (draft.expectedBytes !== undefined && !draft.isBodyWhole) {
      this.#life.cutOff('upstream-aborted')
      return
    }
    if (!this.#request.isSentWhole) this.#life.dropOrigin()
    this.#life.enter('finish', { name: 'ending' })
    client.end(redactor.fields(trailers))
  }

  /** The client takes more. */
  resume(): void {
    const { state } = this.#life
    if (state.name === 'answering' || state.name === 'switched') state.sent.origin.resumeBody()
  }
}
