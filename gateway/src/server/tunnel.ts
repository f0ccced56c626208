// One WebSocket from its upgrade to its end: it waits for a CONNECT, which is refused, spliced or intercepted. Every way
// that a CONNECT can go ends in one audit line, or in one for each request.
//
// Rules:
// - The upgrade proves who it is. Everything else is decided when the head of the CONNECT is whole, by the config of that
//   moment: whether the session still is one, its policy and limits, the way out. A WebSocket may have waited long by then.
// - The 200 is the last thing that can fail: whatever may refuse comes before it, and what follows it is in one go with it.

import { randomUUID } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import type { Authority, ConnectHead } from 'ccr-upstream-proxy/protocol'
import type { AuditErrorCode, AuditRecord } from '../audit/audit-record.js'
import { type InterceptLimits, interceptTunnel } from '../intercept/intercept.js'
import type { HttpProtocol } from '../origin/dialer.js'
import { originRefusal } from '../origin/origin-refusal.js'
import { decideHost } from '../policy/host-policy.js'
import type { RuledHost } from '../policy/rule.js'
import { encodeRefusal, isRefusalCode, REFUSALS, Refusal } from '../refusal.js'
import { onExpiry, type Session } from '../sessions/session.js'
import type { ActiveConfig, TunnelDialer } from './active-config.js'
import { type ChunkStream, DefectError } from './chunk-stream.js'
import { type Arrival, type ConnectHeadLimits, ConnectHeadReader } from './connect-head-reader.js'
import { describeDefect } from './describe-defect.js'
import { SessionEndedError } from './session-ended-error.js'
import { splice } from './splice.js'

/** What all tunnels of a gateway share. */
export interface TunnelContext extends ConnectHeadLimits {
  /** The config in use. */
  readonly active: () => ActiveConfig
  readonly audit: (record: AuditRecord) => void
  /** Takes what should not have happened: a line for the operator. */
  readonly warn: (message: string) => void
  readonly responseHeadTimeoutMs: number
  readonly interceptLimits: InterceptLimits
}

/** What an X-Request-Id is logged as: an id of any common kind, and nothing that a log would have to escape. */
const REQUEST_ID = /^[A-Za-z0-9._~:/+=-]{1,128}$/

export class Tunnel {
  /** Resolves at the end; never rejects. */
  readonly done: Promise<void>
  readonly #stream: ChunkStream
  readonly #context: TunnelContext
  readonly #id = randomUUID()
  readonly #reader: ConnectHeadReader
  /** Aborts when the client is gone: whatever is being dialled is for nobody. */
  readonly #gone = new AbortController()
  /** That of the upgrade, then that of the CONNECT. */
  #session: Session
  #head: ConnectHead | undefined
  #isEstablished = false

  constructor(stream: ChunkStream, session: Session, context: TunnelContext) {
    this.#stream = stream
    this.#session = session
    this.#context = context
    this.#reader = new ConnectHeadReader(stream, context)
    // One for each dial, as many as there are streams of HTTP/2.
    setMaxListeners(0, this.#gone.signal)
    const { guard } = stream
    guard.once(stream, 'close', () => this.#gone.abort('the client is gone'))
    // They are seen where the stream is read and written.
    guard.ignoreErrors(stream)
    guard.on(stream, 'defect', (thrown: unknown) => this.#reportDefect(thrown))
    this.done = this.#run()
  }

  get session(): Session {
    return this.#session
  }

  /** Whether nothing of a CONNECT has come yet. */
  get isWaiting(): boolean {
    return this.#reader.arrival === undefined
  }

  /** The gateway is being closed: a CONNECT has to come soon. */
  hurry(): void {
    this.#reader.hurry()
  }

  /** Its session has ended. One that waits is told so when its CONNECT comes: before that nobody is there to be told. */
  endSession(): void {
    if (!this.isWaiting) this.#stream.destroy(new SessionEndedError())
  }

  async #run(): Promise<void> {
    try {
      this.#head = await this.#reader.head
      if (this.#head === undefined) this.#stream.end()
      else await this.#serve(this.#head)
    } catch (error) {
      this.#fail(error)
    }
  }

  async #serve(head: ConnectHead): Promise<void> {
    const active = this.#context.active()
    const release = active.hold()
    try {
      this.#session = await active.sessions.readmit(this.#session, head.proxyAuthorization)
      await this.#connect(head, active, active.dialerFor(this.#session))
    } finally {
      release()
    }
  }

  async #connect(head: ConnectHead, active: ActiveConfig, dialer: TunnelDialer): Promise<void> {
    const { policy, usage } = this.#session
    const verdict = decideHost(policy, head.authority)
    if (verdict.kind === 'deny') throw new Refusal('policy-denied', verdict.reason)
    dialer.assertAllowed(head.authority)
    const giveBack = usage.takeTunnel(policy.limits)
    const stopWaiting = onExpiry(
      this.#session,
      this.#stream.guard.wrap(() => this.endSession()),
    )
    try {
      if (verdict.kind === 'splice') await this.#splice(head.authority, dialer)
      else await this.#intercept(head.authority, verdict.host, active, dialer)
    } finally {
      stopWaiting()
      giveBack()
    }
  }

  async #splice(authority: Authority, dialer: TunnelDialer): Promise<void> {
    const { usage, policy } = this.#session
    usage.spendRequest(policy.limits)
    const origin = await dialer.dial(authority, this.#gone.signal)
    this.#establish()
    const error = await splice(this.#stream, origin)
    this.#audit({
      ...this.#auditStart(),
      mode: 'tunnel',
      host: authority.host,
      port: authority.port,
      bytesUp: origin.bytesWritten,
      bytesDown: origin.bytesRead,
      ...(error !== undefined && { error }),
    })
  }

  async #intercept(authority: Authority, host: RuledHost, active: ActiveConfig, dialer: TunnelDialer): Promise<void> {
    const { id: sessionId, usage, policy } = this.#session
    const contexts = await active.contextsFor(authority.host, this.#session)
    const tunnel = {
      id: this.#id,
      sessionId,
      authority,
      host,
      dialTls: (protocols: readonly HttpProtocol[]) => dialer.dialTls(authority, protocols, this.#gone.signal),
      responseHeadTimeoutMs: this.#context.responseHeadTimeoutMs,
      audit: (record: AuditRecord) => this.#audit(record),
      admitRequest: () => usage.takeRequest(policy.limits),
      reportDefect: (thrown: unknown) => this.#reportDefect(thrown),
    }
    this.#establish()
    const outcome = await interceptTunnel(this.#stream, contexts, tunnel, this.#context.interceptLimits)
    if (outcome !== undefined) this.#auditRefused(outcome, isRefusalCode(outcome) ? REFUSALS[outcome].status : 0)
  }

  #reportDefect(thrown: unknown): void {
    this.#context.warn(describeDefect(thrown))
  }

  #establish(): void {
    this.#isEstablished = true
    this.#stream.write('HTTP/1.1 200 Connection Established\r\n\r\n')
  }

  /** Ends the tunnel: with an answer, if there still can be one. */
  #fail(error: unknown): void {
    const refusal = originRefusal(error)
    if (this.#isEstablished) this.#stream.fail(error)
    else if (refusal.code === 'internal') this.#reportDefect(refusal.cause)
    if (this.#stream.destroyed) {
      this.#auditRefused('client-closed', 0)
      return
    }
    this.#stream.resume()
    this.#stream.end(encodeRefusal(refusal))
    this.#auditRefused(refusal.code, refusal.status)
  }

  #auditRefused(code: AuditErrorCode, status: number): void {
    const authority = this.#head?.authority
    this.#audit({
      ...this.#auditStart(),
      mode: 'refused',
      ...(authority && { host: authority.host, port: authority.port }),
      code: this.#causeOfEnd() ?? code,
      status,
    })
  }

  /** Joins the record with the relay's own id of the tunnel, and tells an end of our own making from a client's. */
  #audit(record: AuditRecord): void {
    const { requestId = '' } = this.#head ?? {}
    const cause = this.#causeOfEnd()
    this.#context.audit({
      ...record,
      ...(REQUEST_ID.test(requestId) && { requestId }),
      ...(cause !== undefined && 'error' in record && { error: cause }),
    })
  }

  #causeOfEnd(): AuditErrorCode | undefined {
    const { errored } = this.#stream
    if (errored instanceof SessionEndedError) return 'session-ended'
    return errored instanceof DefectError ? 'internal' : undefined
  }

  /** From the first byte of the CONNECT. */
  #auditStart() {
    const { date, monotonicMs } = this.#reader.arrival as Arrival
    return {
      time: date.toISOString(),
      session: this.#session.id,
      tunnel: this.#id,
      ms: Math.round(performance.now() - monotonicMs),
    }
  }
}
