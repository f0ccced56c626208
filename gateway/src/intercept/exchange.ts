// One request of an intercepted tunnel: checked, sent to the origin, its answer streamed back, audited. The same for
// every pair of protocols.
//
// Rules:
// - Bodies are streamed with back-pressure, never collected.
// - Until the origin's answer began, a failure is an HTTP answer of ours. After that nothing of ours is ever written:
//   the answer is cut off, so that a truncated body never looks whole.
// - An answer that the origin gave before it had the whole request is passed on, and the rest not waited for.

import type { Duplex } from 'node:stream'
import type { Authority } from 'ccr-upstream-proxy/protocol'
import type { AuditErrorCode, InterceptAuditRecord } from '../audit/audit-record.js'
import { applyRule, applyRuleAfter401, type RuledFields } from '../credentials/apply-rule.js'
import { Redactor } from '../credentials/redactor.js'
import { originRefusal } from '../origin/origin-refusal.js'
import type { RuledHost } from '../policy/rule.js'
import type { Refusal } from '../refusal.js'
import type { Downstream } from './downstream.js'
import { type MatchedRequest, matchRequest } from './matched-request.js'
import { hasBody, type OriginExchange, type OriginResponse } from './origin-exchange.js'
import { downstreamFields, type OriginRequest, originRequest } from './origin-request.js'
import type { TunnelOrigin } from './tunnel-origin.js'

/** What a request needs to know of its tunnel. */
export interface InterceptedTunnel {
  readonly id: string
  readonly sessionId: string
  readonly authority: Authority
  readonly host: RuledHost
  readonly origin: TunnelOrigin
  readonly responseHeadTimeoutMs: number
  readonly audit: (record: InterceptAuditRecord) => void
  /**
   * Takes a request off what the session may make.
   * @throws {Refusal}
   */
  readonly admitRequest: () => void
}

/** Methods that may be sent again when a kept connection turns out to be closed (RFC 9110, section 9.2.2). */
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'])

export class Exchange {
  readonly #downstream: Downstream
  readonly #tunnel: InterceptedTunnel
  readonly #time = new Date()
  #matched: MatchedRequest | undefined
  #ruled: RuledFields | undefined
  #redactor = new Redactor([])
  #sent: OriginExchange | undefined
  #requestBytes = 0
  #responseBytes = 0
  #isRefused = false
  #error: AuditErrorCode | undefined

  constructor(downstream: Downstream, tunnel: InterceptedTunnel) {
    this.#downstream = downstream
    this.#tunnel = tunnel
    void downstream.closed.then(() => this.#sent?.destroy())
  }

  /** Handles the request to its end. Never rejects. */
  async run(): Promise<void> {
    try {
      // Not behind an await: what is refused is answered before the parser reads on.
      const head = this.#downstream.readHead()
      this.#tunnel.admitRequest()
      this.#matched = matchRequest(head, this.#tunnel.authority, this.#tunnel.host)
      await this.#forward(this.#matched)
    } catch (error) {
      this.#fail(error)
    }
    if (!(await this.#downstream.closed)) this.#error ??= 'client-closed'
    this.#audit()
  }

  /** Answers with a refusal, if it was not refused already; false when another answer has begun. */
  refuse(refusal: Refusal): boolean {
    if (this.#isRefused) return true
    if (this.#downstream.status !== 0 || this.#downstream.isClosed) return false
    this.#isRefused = true
    this.#error = refusal.code
    this.#downstream.refuse(refusal)
    this.#sent?.destroy()
    return true
  }

  async #forward(matched: MatchedRequest): Promise<void> {
    const ruled = await applyRule(matched.outgoing, matched.rule)
    let response = await this.#ask(matched, ruled)
    if (response.status === 401) response = (await this.#askAfter401(matched, ruled)) ?? response
    if (response.upgraded === undefined) await this.#answer(response)
    else await this.#switch(response, response.upgraded)
  }

  /** A credential may have ended since it was read. A body was streamed away, and cannot be sent again. */
  async #askAfter401(matched: MatchedRequest, used: RuledFields): Promise<OriginResponse | undefined> {
    if (hasBody(matched.head)) return undefined
    const renewed = await applyRuleAfter401(matched.outgoing, matched.rule, used)
    if (renewed === undefined) return undefined
    this.#sent?.destroy()
    return this.#ask(matched, renewed)
  }

  /** Sends the request; once more when a kept connection was closed under it and that is safe. */
  async #ask(matched: MatchedRequest, ruled: RuledFields): Promise<OriginResponse> {
    this.#ruled = ruled
    this.#redactor = new Redactor(ruled.secrets)
    const request = originRequest(matched, ruled)
    const first = await this.#send(request)
    try {
      return await first.response
    } catch (error) {
      const isStale = first.isReused && originRefusal(error).code === 'connection-closed'
      const isSafe = IDEMPOTENT.has(request.method) && !hasBody(request)
      if (!isStale || !isSafe || this.#downstream.isClosed) throw error
      return (await this.#send(request)).response
    }
  }

  async #send(request: OriginRequest): Promise<OriginExchange> {
    const exchange = await this.#tunnel.origin.send(request, {
      downstream: this.#downstream,
      responseHeadTimeoutMs: this.#tunnel.responseHeadTimeoutMs,
      onInterim: (status, fields) => {
        if (this.#downstream.status === 0) this.#downstream.sendInterim(status, this.#redactor.fields(fields))
      },
      onBodyBytes: (count) => {
        this.#requestBytes += count
      },
    })
    // Whoever waits for it hears of its failure; alone it must not end the process.
    exchange.response.catch(() => {})
    this.#sent = exchange
    // Answered or gone while the origin was dialled.
    if (this.#downstream.isClosed || this.#downstream.status !== 0) exchange.destroy()
    return exchange
  }

  async #answer(response: OriginResponse): Promise<void> {
    const { status, reason, fields, body } = response
    if (this.#downstream.isClosed) return
    this.#downstream.sendHead({
      status,
      reason: this.#redactor.text(reason),
      fields: this.#redactor.fields(downstreamFields(fields)),
      hasBody: response.hasBody,
    })
    body.on('data', (bytes: Buffer) => {
      this.#responseBytes += bytes.length
    })
    if (await this.#passOn(response)) this.#downstream.end(this.#redactor.fields(response.trailers()))
    else if (!this.#downstream.isClosed) {
      this.#error ??= 'upstream-aborted'
      this.#downstream.cutOff()
    }
  }

  /** Streams the body; false when it was cut, on either side. */
  #passOn({ body, isBodyWhole }: OriginResponse): Promise<boolean> {
    return new Promise((resolve) => {
      // An empty one may have ended before anybody looked.
      if (body.readableEnded) resolve(isBodyWhole())
      body.once('end', () => resolve(isBodyWhole()))
      body.once('close', () => resolve(false))
      body.on('error', () => resolve(false))
      body.pipe(this.#downstream.sink, { end: false })
    })
  }

  /** From here on it is no HTTP any more: bytes go both ways until either side is done. */
  async #switch({ fields }: OriginResponse, upgraded: Duplex): Promise<void> {
    if (this.#downstream.isClosed) {
      upgraded.destroy()
      return
    }
    const client = this.#downstream.switchProtocols(this.#redactor.fields(fields))
    client.on('data', (bytes: Buffer) => {
      this.#requestBytes += bytes.length
    })
    upgraded.on('data', (bytes: Buffer) => {
      this.#responseBytes += bytes.length
    })
    await join(client, upgraded)
  }

  /** Answers with a refusal, or cuts the answer off when it is too late for one. */
  #fail(error: unknown): void {
    if (this.#downstream.isClosed) {
      this.#error ??= 'client-closed'
      return
    }
    if (this.refuse(originRefusal(error))) return
    this.#error = 'upstream-aborted'
    this.#downstream.cutOff()
  }

  #audit(): void {
    const { id, sessionId, authority, audit } = this.#tunnel
    const { method, target, status } = this.#downstream
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
      status,
      requestBytes: this.#requestBytes,
      responseBytes: this.#responseBytes,
      ms: Date.now() - this.#time.getTime(),
      injected: this.#ruled?.injected ?? [],
      ...(rule !== undefined && { rule }),
      ...(this.#error !== undefined && { error: this.#error }),
    })
  }
}

/** Joins two streams until both are closed. */
function join(one: Duplex, other: Duplex): Promise<void> {
  return new Promise((resolve) => {
    let open = 2
    const link = (from: Duplex, to: Duplex) => {
      from.pipe(to)
      from.on('error', () => {})
      from.once('close', () => {
        if (!to.writableEnded) to.end()
        open--
        if (open === 0) resolve()
        else setTimeout(() => to.destroy(), LINGER_MS).unref()
      })
    }
    link(one, other)
    link(other, one)
  })
}

/** After one side has closed: how long what it had sent may take on its way to the other. */
const LINGER_MS = 10_000

/** Without the query, and without the userinfo that an absolute target could carry. */
function pathOf(target: string): string {
  if (!target.startsWith('/')) return target === '*' ? '*' : ''
  return target.split(/[?#]/, 1)[0] as string
}
