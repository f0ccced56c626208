// The life of an exchange without sockets: both sides are models that do what their interfaces allow, in any order. However it
// goes, there is one line in the audit, one answer at most, nothing after the end, and the origin's connection is either clean
// (the whole request written, the whole answer read) or given up.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { InterceptAuditRecord } from 'ccr-upstream-gateway'
import { type Authority, parseAuthority } from 'ccr-upstream-proxy/protocol'
import fc from 'fast-check'
import type { AnswerHead, ClientExchange, ClientHandler, HandedOver } from '#gateway/intercept/client-exchange.js'
import { Exchange } from '#gateway/intercept/exchange.js'
import {
  EXCHANGE_TRANSITIONS,
  type ExchangeEvent,
  type ExchangeStateName,
  nextExchangeState,
} from '#gateway/intercept/exchange-state.js'
import type { Done, OriginExchange, OriginHandler } from '#gateway/intercept/origin-exchange.js'
import type { BodyLength, RequestHead } from '#gateway/intercept/request-head.js'
import type { RuledHost } from '#gateway/policy/rule.js'
import { Refusal } from '#gateway/refusal.js'
import '../support/watched-process.js'

const AUTHORITY = parseAuthority('api.example.com:443') as Authority

/** One kind of request, and how its sides behave. */
interface Plan {
  readonly bodyLength: BodyLength
  readonly isUpgrade: boolean
  /** Bytes of a piece of the request's body: from a call to an upload that cannot be kept. */
  readonly pieceBytes: number
  /** Whether a refresh after a 401 brings another value. */
  readonly isRenewable: boolean
  /** Whether writes say that they are full. */
  readonly isFull: boolean
  /** Chooses among what may happen next. */
  readonly choices: readonly number[]
}

class ModelClient implements ClientExchange {
  readonly method = 'POST'
  readonly target = '/v1/things?secret=query'
  readonly #head: RequestHead
  readonly #isFull: boolean
  handler: ClientHandler | undefined
  isReading = false
  isClosed = false
  isSwitched = false
  answer: 'none' | 'head' | 'ended' | 'cut' | 'given back' = 'none'
  readonly answers: string[] = []
  readonly got: Buffer[] = []
  needsDrain = false

  constructor(head: RequestHead, isFull: boolean) {
    this.#head = head
    this.#isFull = isFull
  }

  readHead(): RequestHead {
    return this.#head
  }

  start(handler: ClientHandler): void {
    assert.equal(this.handler, undefined)
    this.handler = handler
  }

  pauseBody(): void {
    this.isReading = false
  }

  resumeBody(): void {
    this.isReading = true
  }

  sendInterim(status: number): void {
    assert.ok(status < 200)
    assert.equal(this.answer, 'none', 'an interim answer comes before the final one')
  }

  sendHead({ status }: AnswerHead): void {
    this.#begin(`${status}`)
    this.answer = 'head'
  }

  write(bytes: Buffer): boolean {
    assert.ok(this.answer === 'head' && !this.isClosed, `a write to an answer that is ${this.answer}`)
    this.got.push(bytes)
    this.needsDrain = this.#isFull
    return !this.#isFull
  }

  end(): void {
    assert.ok(this.answer === 'head' && !this.isClosed, `an end of an answer that is ${this.answer}`)
    this.answer = 'ended'
  }

  refuse({ code }: Refusal): void {
    this.#begin(code)
    this.answer = 'ended'
  }

  giveBack(): number {
    assert.equal(this.answer, 'none', `a request that was answered cannot be given back: ${this.answers}`)
    assert.ok(!this.isClosed)
    this.answer = 'given back'
    return 0
  }

  cutOff(): void {
    assert.notEqual(this.answer, 'ended', 'what has ended is not cut')
    this.answer = 'cut'
  }

  switchProtocols(): void {
    this.#begin('101')
    this.isSwitched = true
    this.answer = 'head'
  }

  #begin(answer: string): void {
    assert.equal(this.answer, 'none', `a second answer: ${this.answers} and ${answer}`)
    assert.ok(!this.isClosed)
    this.answers.push(answer)
  }
}

class ModelOrigin implements OriginExchange {
  readonly handler: OriginHandler
  readonly secret: string
  readonly #isFull: boolean
  state: 'dialling' | 'open' | 'answered' | 'over' = 'dialling'
  isReading = false
  isDestroyed = false
  isEnded = false
  isSwitched = false
  isAnswerWhole = false
  /** Bytes that its answer has to have; undefined when its head did not say. */
  bytesLeft: number | undefined
  interims = 0
  needsDrain = false
  readonly got: Buffer[] = []
  readonly sent: Buffer[] = []

  constructor(handler: OriginHandler, secret: string, isFull: boolean) {
    this.handler = handler
    this.secret = secret
    this.#isFull = isFull
  }

  write(bytes: Buffer): boolean {
    assert.ok(!this.isDestroyed && !this.isEnded && this.state !== 'dialling', 'a write where nothing can be written')
    this.got.push(bytes)
    this.needsDrain = this.#isFull
    return !this.#isFull
  }

  end(): void {
    assert.ok(!this.isDestroyed && !this.isEnded && this.state !== 'dialling', 'an end where nothing can be written')
    this.isEnded = true
  }

  pauseBody(): void {
    this.isReading = false
  }

  resumeBody(): void {
    this.isReading = true
  }

  destroy(): void {
    this.isDestroyed = true
  }
}

class Stage {
  readonly plan: Plan
  readonly client: ModelClient
  readonly origins: ModelOrigin[] = []
  readonly audit: InterceptAuditRecord[] = []
  readonly uploaded: Buffer[] = []
  readonly defects: unknown[] = []
  readonly timers = new Set<() => void>()
  readonly exchange: Exchange
  secret = 'secret-of-try-0'
  doneCount = 0
  /** Taken of what the session may have at once. */
  places = 0
  isRequestWhole: boolean
  /** Of the answer, when the client's side was closed. */
  handedOver: HandedOver | undefined
  isClientFin = false
  refreshes: (() => void)[] = []

  constructor(plan: Plan) {
    this.plan = plan
    this.isRequestWhole = plan.bodyLength === 'none'
    const head: RequestHead = {
      method: 'POST',
      target: '/v1/things?secret=query',
      hosts: ['api.example.com'],
      fields: ['Accept', '*/*'],
      bodyLength: plan.bodyLength,
      ...(plan.isUpgrade && { upgrade: 'websocket' as const }),
    }
    this.client = new ModelClient(head, plan.isFull)
    const host: RuledHost = {
      pattern: 'api.example.com',
      rules: [
        {
          match: {},
          transforms: [
            {
              apply: ({ fields }) => [...fields, ['authorization', this.secret]],
              strip: (fields) => fields,
              refresh: () => new Promise<void>((resolve) => this.refreshes.push(resolve)),
            },
          ],
        },
      ],
    }
    const tunnel = {
      id: 'tunnel',
      sessionId: 'session',
      authority: AUTHORITY,
      host,
      responseHeadTimeoutMs: 1_000,
      audit: (record: InterceptAuditRecord) => this.audit.push(record),
      admitRequest: () => {
        this.places++
        return () => {
          this.places--
        }
      },
      reportDefect: (thrown: unknown) => this.defects.push(thrown),
      schedule: (_ms: number, callback: () => void) => {
        this.timers.add(callback)
        return () => this.timers.delete(callback)
      },
      origin: {
        send: ({ fields }: { fields: readonly string[] }, handler: OriginHandler) => {
          const origin = new ModelOrigin(handler, fields.at(-1) as string, plan.isFull)
          this.origins.push(origin)
          return origin
        },
      },
    }
    this.exchange = new Exchange(this.client, tunnel, {
      exchangeOnMoved: () => {},
      exchangeOnDone: () => {
        this.doneCount++
      },
    })
  }

  /** What the two sides and the secret's source may do now. */
  actions(): (() => void)[] {
    return [...this.#clientActions(), ...this.#originActions()]
  }

  /** What may go wrong now. */
  mishaps(): (() => void)[] {
    const timers = [...this.timers].map((fire) => () => this.#fire(fire))
    return [...timers, ...this.#clientMishaps(), ...this.origins.flatMap((origin) => this.#mishapsOf(origin))]
  }

  #fire(callback: () => void): void {
    this.timers.delete(callback)
    callback()
  }

  #clientActions(): (() => void)[] {
    const { client, plan } = this
    const { handler } = client
    if (handler === undefined || client.isClosed) return []
    const actions: (() => void)[] = []
    if (client.answer === 'ended' && (!client.isSwitched || this.isClientFin))
      actions.push(() => this.#close('to-its-end'))
    if (client.answer === 'given back') actions.push(() => this.#close('in-part'))
    if (client.needsDrain) {
      actions.push(() => {
        client.needsDrain = false
        handler.clientOnDrain()
      })
    }
    if (client.isReading && client.isSwitched && !this.isClientFin) {
      actions.push(
        () => handler.clientOnData(this.#piece()),
        () => {
          this.isClientFin = true
          handler.clientOnEnd([])
        },
      )
    }
    if (!client.isReading || client.isSwitched || this.isRequestWhole) return actions
    const sent = this.uploaded.reduce((sum, { length }) => sum + length, 0)
    const isLengthReached = typeof plan.bodyLength !== 'number' || sent >= plan.bodyLength
    if (plan.bodyLength === 'unknown' || !isLengthReached) actions.push(() => handler.clientOnData(this.#piece()))
    if (isLengthReached) {
      actions.push(() => {
        this.isRequestWhole = true
        handler.clientOnEnd([])
      })
    }
    return actions
  }

  #clientMishaps(): (() => void)[] {
    const { handler, isClosed, isReading, isSwitched } = this.client
    if (handler === undefined || isClosed) return []
    const mishaps = [() => this.#close('in-part'), () => this.#close('so-far')]
    if (isReading && !isSwitched && !this.isRequestWhole) {
      mishaps.push(() => handler.clientOnFailure(new Refusal('bad-request', 'the body is malformed')))
    }
    return mishaps
  }

  #close(handedOver: HandedOver): void {
    this.client.isClosed = true
    this.handedOver = handedOver
    this.client.handler?.clientOnClose(handedOver)
  }

  #piece(): Buffer {
    const piece = Buffer.alloc(this.plan.pieceBytes, this.uploaded.length)
    if (!this.client.isSwitched) this.uploaded.push(piece)
    return piece
  }

  #originActions(): (() => void)[] {
    const actions = this.refreshes.map((resolve) => () => {
      this.refreshes = this.refreshes.filter((other) => other !== resolve)
      if (this.plan.isRenewable) this.secret = `secret-of-try-${this.origins.length}`
      resolve()
    })
    return [...actions, ...this.origins.flatMap((origin) => this.#actionsOf(origin))]
  }

  #actionsOf(origin: ModelOrigin): (() => void)[] {
    const { handler } = origin
    if (origin.isDestroyed || origin.state === 'over') return []
    if (origin.state === 'dialling') {
      const open = () => {
        origin.state = 'open'
        handler.originOnOpen()
      }
      return [open]
    }
    const actions: (() => void)[] = []
    if (origin.needsDrain) {
      actions.push(() => {
        origin.needsDrain = false
        handler.originOnDrain()
      })
    }
    if (origin.state === 'open') {
      const answer = (status: number, length?: number) => () => {
        origin.state = 'answered'
        origin.bytesLeft = length
        origin.isSwitched = status === 101
        // The request was ended; the other protocol has an end of its own.
        if (origin.isSwitched) origin.isEnded = false
        const fields = length === undefined ? [] : ['Content-Length', String(length)]
        handler.originOnAnswer({ status, reason: '', fields, hasBody: status !== 101, isSwitched: status === 101 })
      }
      const interim = () => {
        origin.interims++
        handler.originOnInterim(103, [])
      }
      actions.push(answer(200), answer(200, 3), answer(401), answer(429, 0), interim)
      return this.plan.isUpgrade ? [...actions, answer(101)] : actions
    }
    if (!origin.isReading) return actions
    const data = (bytes: Buffer) => () => {
      origin.sent.push(bytes)
      if (origin.bytesLeft !== undefined) origin.bytesLeft -= bytes.length
      handler.originOnData(bytes)
    }
    if (origin.bytesLeft === undefined || origin.bytesLeft > 0) actions.push(data(Buffer.from('abc')))
    const end = () => {
      origin.state = 'over'
      origin.isAnswerWhole = true
      handler.originOnEnd([])
    }
    // An end before the announced length is one that the exchange has to see.
    return [...actions, end]
  }

  #mishapsOf(origin: ModelOrigin): (() => void)[] {
    if (origin.isDestroyed || origin.state === 'over') return []
    const fail = (done: Done) => () => {
      origin.state = 'over'
      origin.handler.originOnFailure(new Refusal('connection-closed', 'the origin closed the connection'), done)
    }
    return origin.state === 'answered' ? [fail('unknown')] : [fail('unknown'), fail('repeatable'), fail('nothing')]
  }

  assertEnd(): void {
    assert.deepEqual(this.defects, [])
    assert.equal(this.doneCount, 1, 'the exchange ends once')
    assert.equal(this.audit.length, 1, 'the audit has one line')
    const [record] = this.audit as [InterceptAuditRecord]
    assert.ok(this.client.answers.length <= 1)
    assert.equal(record.status > 0, this.client.answers.length === 1, 'the audit has the status that the client got')
    assert.equal(this.timers.size, 0, 'no timer is left')
    assert.equal(this.places, 0, 'the place among the requests of the session is free again')
    for (const origin of this.origins) this.#assertOrigin(origin)
    const isCutShort = this.client.answer !== 'ended'
    if (isCutShort && this.handedOver === 'so-far' && this.origins.at(-1)?.bytesLeft === 0)
      assert.ok(
        record.error !== 'client-closed' || record.status === 0,
        'a client that has all bytes was not cut short',
      )
    else if (isCutShort)
      assert.ok(record.error !== undefined || record.status === 101, 'an answer that was cut has its reason')
  }

  #assertOrigin(origin: ModelOrigin): void {
    const got = Buffer.concat(origin.got)
    const uploaded = Buffer.concat(this.uploaded)
    if (!origin.isSwitched) {
      assert.ok(uploaded.subarray(0, got.length).equals(got), 'the origin gets the beginning of the body, in order')
      if (origin.isEnded)
        assert.ok(this.isRequestWhole && got.length === uploaded.length, 'only a whole request is ended')
    }
    const isClean = origin.isEnded && origin.isAnswerWhole
    const isGone = origin.isDestroyed || (origin.state === 'over' && !origin.isAnswerWhole)
    assert.ok(isClean || isGone, 'a connection is clean, or given up')
    if (origin.isAnswerWhole && (origin.bytesLeft ?? 0) > 0) {
      assert.equal(this.audit[0]?.error, 'upstream-aborted', 'an answer that is shorter than it said is none')
    }
  }
}

const plans: fc.Arbitrary<Plan> = fc.record({
  bodyLength: fc.constantFrom<BodyLength>('none', 'unknown', 4_000, 100_000),
  isUpgrade: fc.boolean(),
  pieceBytes: fc.constantFrom(1_000, 50_000, 100_000),
  isRenewable: fc.boolean(),
  isFull: fc.boolean(),
  choices: fc.array(fc.nat(10_000), { minLength: 1, maxLength: 60 }),
})

async function live(plan: Plan): Promise<Stage> {
  const isUpgrade = plan.isUpgrade && plan.bodyLength === 'none'
  const stage = new Stage({ ...plan, isUpgrade })
  stage.exchange.start()
  for (const choice of plan.choices) {
    await nextTurn()
    const happen = choice % 10 === 0 ? stage.mishaps() : stage.actions()
    happen[Math.floor(choice / 10) % happen.length]?.()
  }
  // The tunnel ends, and with it whatever is left.
  await nextTurn()
  if (stage.doneCount === 0) stage.exchange.leave()
  stage.client.isClosed = true
  for (const resolve of stage.refreshes.splice(0)) resolve()
  await nextTurn()
  return stage
}

describe('an exchange under random orders of events', () => {
  test('has one line in the audit, one answer at most, and leaves the origin clean or gives it up', async () => {
    const property = fc.asyncProperty(plans, async (plan) => (await live(plan)).assertEnd())
    await fc.assert(property, { numRuns: 2_000 })
  })

  test('comes to every kind of end', async () => {
    const seen = new Set<string>()
    for (const plan of fc.sample(plans, { numRuns: 1_000, seed: 1 })) {
      const { audit, origins, client } = await live(plan)
      seen.add(`${audit[0]?.status} ${audit[0]?.error} ${origins.length} ${client.answer}`)
    }
    const has = (pattern: RegExp) => [...seen].some((outcome) => pattern.test(outcome))
    for (const outcome of [
      /^200 undefined 1 ended/,
      /^200 undefined 2 ended/,
      /^401 undefined 1 ended/,
      /^101 undefined 1 ended/,
      /^0 client-closed/,
      /^200 client-closed/,
      /^504 response-timeout/,
      /^502 connection-closed/,
      /^0 connection-closed \d+ given back/,
      /^400 bad-request/,
      /^200 upstream-aborted 1 cut/,
      /^401 upstream-aborted 1 cut/,
    ]) {
      assert.ok(has(outcome), `no life came to ${outcome}: ${[...seen].sort().join(', ')}`)
    }
  })
})

describe('the states of an exchange', () => {
  const states = Object.keys(EXCHANGE_TRANSITIONS) as ExchangeStateName[]
  const events = [...new Set(states.flatMap((state) => Object.keys(EXCHANGE_TRANSITIONS[state])))] as ExchangeEvent[]

  test('an event that the table does not name throws', () => {
    for (const state of states) {
      for (const event of events) {
        const next = EXCHANGE_TRANSITIONS[state][event]
        if (next === undefined) assert.throws(() => nextExchangeState(state, event), /cannot take/)
        else assert.equal(nextExchangeState(state, event), next)
      }
    }
  })

  test('every state is reached, every one but the last can be closed, and nothing follows the last', () => {
    const reached = new Set<ExchangeStateName>(['checking'])
    for (const state of reached) for (const next of Object.values(EXCHANGE_TRANSITIONS[state])) reached.add(next)
    assert.deepEqual([...reached].sort(), [...states].sort())
    for (const state of states) assert.equal(EXCHANGE_TRANSITIONS[state].close, state === 'done' ? undefined : 'done')
    assert.deepEqual(EXCHANGE_TRANSITIONS.done, {})
  })

  test('the gateway speaks for itself only before the origin has', () => {
    const speaking = states.filter((state) => 'refuse' in EXCHANGE_TRANSITIONS[state])
    assert.deepEqual(speaking, ['checking', 'dialling', 'asking', 'renewing'])
  })
})
