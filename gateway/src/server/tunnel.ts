// One WebSocket from its first chunk to its end: the CONNECT head, the checks, then splice or intercept. Every way that
// a tunnel can go ends in one audit line, or in one for each request.

import { randomUUID } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import type { Socket } from 'node:net'
import { type ConnectHead, ConnectHeadParser } from 'ccr-upstream-proxy/protocol'
import type { AuditErrorCode, AuditRecord } from '../audit/audit-record.js'
import type { CertificateAuthority } from '../certificates/certificate-authority.js'
import type { LeafContexts } from '../certificates/leaf-contexts.js'
import { type InterceptLimits, interceptTunnel } from '../intercept/intercept.js'
import type { Dialer, HttpProtocol } from '../origin/dialer.js'
import { originRefusal } from '../origin/origin-refusal.js'
import { decideHost, type HostPolicy } from '../policy/host-policy.js'
import type { RuledHost } from '../policy/rule.js'
import { encodeRefusal, isRefusalCode, REFUSALS, Refusal } from '../refusal.js'
import type { Session } from '../sessions/session.js'
import { isBasicOf } from '../sessions/sessions.js'
import type { ChunkStream } from './chunk-stream.js'
import { describeDefect } from './describe-defect.js'
import { SessionEndedError } from './session-ended-error.js'

/** What all tunnels of a gateway share. */
export interface TunnelContext {
  readonly policy: HostPolicy
  readonly authority: CertificateAuthority
  readonly leafContexts: LeafContexts
  readonly dialer: Pick<Dialer, 'assertAllowed' | 'dial' | 'dialTls'>
  readonly audit: (record: AuditRecord) => void
  /** Takes what should not have happened: a line for the operator. */
  readonly warn: (message: string) => void
  readonly connectHeadTimeoutMs: number
  readonly connectWaitMs: number
  readonly responseHeadTimeoutMs: number
  readonly interceptLimits: InterceptLimits
}

/** After the client has left: how long what it had already sent may take on its way to the origin. */
const LINGER_MS = 10_000

/** What an X-Request-Id is logged as: an id of any common kind, and nothing that a log would have to escape. */
const REQUEST_ID = /^[A-Za-z0-9._~:/+=-]{1,128}$/

/** Serves one tunnel to its end. Never rejects. */
export async function serveTunnel(stream: ChunkStream, session: Session, context: TunnelContext): Promise<void> {
  // Errors are seen where the stream is read and written; alone they must not end the process.
  stream.on('error', () => {})
  const tunnel = new Tunnel(stream, session, context)
  try {
    await tunnel.run()
  } catch (error) {
    tunnel.refuse(originRefusal(error))
  }
}

class Tunnel {
  readonly #stream: ChunkStream
  readonly #session: Session
  readonly #context: TunnelContext
  readonly #id = randomUUID()
  readonly #time = new Date()
  /** Aborts when the client is gone: whatever is being dialled is for nobody. */
  readonly #gone = new AbortController()
  #head: ConnectHead | undefined

  constructor(stream: ChunkStream, session: Session, context: TunnelContext) {
    this.#stream = stream
    this.#session = session
    this.#context = context
    // One for each dial, as many as there are streams of HTTP/2.
    setMaxListeners(0, this.#gone.signal)
    stream.once('close', () => this.#gone.abort('the client is gone'))
  }

  async run(): Promise<void> {
    const head = await readConnectHead(this.#stream, this.#context)
    if (head === undefined) {
      this.#stream.end()
      return
    }
    this.#head = head
    if (!isBasicOf(this.#session, head.proxyAuthorization)) {
      throw new Refusal('credential-mismatch', 'Proxy-Authorization is not of the session that opened the WebSocket')
    }
    const verdict = decideHost(this.#context.policy, head.authority)
    if (verdict.kind === 'deny') throw new Refusal('policy-denied', verdict.reason)
    this.#context.dialer.assertAllowed(head.authority)
    if (verdict.kind === 'splice') await this.#splice(head)
    else await this.#intercept(head, verdict.host)
  }

  /** Ends the tunnel with an answer. Only before the 200. */
  refuse(refusal: Refusal): void {
    if (this.#stream.destroyed) {
      this.#auditRefused('client-closed', 0)
      return
    }
    this.#stream.resume()
    this.#stream.end(encodeRefusal(refusal))
    this.#auditRefused(refusal.code, refusal.status)
  }

  async #splice(head: ConnectHead): Promise<void> {
    this.#admitRequest()
    const origin = await this.#context.dialer.dial(head.authority, this.#gone.signal)
    this.#establish()
    const error = await splice(this.#stream, origin)
    this.#audit({
      ...this.#auditStart(),
      mode: 'tunnel',
      host: head.authority.host,
      port: head.authority.port,
      bytesUp: origin.bytesWritten,
      bytesDown: origin.bytesRead,
      ...(error !== undefined && { error }),
    })
  }

  async #intercept({ authority }: ConnectHead, host: RuledHost): Promise<void> {
    const leaf = await this.#context.authority.leafFor(authority.host)
    this.#establish()
    const tunnel = {
      id: this.#id,
      sessionId: this.#session.id,
      authority,
      host,
      dialTls: (protocols: readonly HttpProtocol[]) => {
        return this.#context.dialer.dialTls(authority, protocols, this.#gone.signal)
      },
      responseHeadTimeoutMs: this.#context.responseHeadTimeoutMs,
      audit: (record: AuditRecord) => this.#audit(record),
      admitRequest: () => this.#admitRequest(),
      reportDefect: (thrown: unknown) => this.#context.warn(describeDefect(thrown)),
    }
    const secureContext = this.#context.leafContexts.of(leaf)
    const outcome = await interceptTunnel(this.#stream, secureContext, tunnel, this.#context.interceptLimits)
    if (outcome !== undefined) this.#auditRefused(outcome, isRefusalCode(outcome) ? REFUSALS[outcome].status : 0)
  }

  #admitRequest(): void {
    this.#session.usage.takeRequest(this.#session.policy.limits)
  }

  #establish(): void {
    this.#stream.write('HTTP/1.1 200 Connection Established\r\n\r\n')
  }

  #auditRefused(code: AuditErrorCode, status: number): void {
    const authority = this.#head?.authority
    this.#audit({
      ...this.#auditStart(),
      mode: 'refused',
      ...(authority && { host: authority.host, port: authority.port }),
      code,
      status,
    })
  }

  /** Joins the record with the relay's own id of the tunnel, and tells a session's end from a client's. */
  #audit(record: AuditRecord): void {
    const { requestId = '' } = this.#head ?? {}
    const isCutOff = this.#stream.errored instanceof SessionEndedError && 'error' in record
    this.#context.audit({
      ...record,
      ...(REQUEST_ID.test(requestId) && { requestId }),
      ...(isCutOff && { error: 'session-ended' }),
    })
  }

  #auditStart() {
    return {
      time: this.#time.toISOString(),
      session: this.#session.id,
      tunnel: this.#id,
      ms: Date.now() - this.#time.getTime(),
    }
  }
}

/**
 * Reads the CONNECT head and puts back what stood behind it; undefined when the client left first, or did not begin: that
 * is for nobody to be told, for a relay that is just beginning takes a silent end for what it is and asks again.
 * @throws {Refusal}
 */
function readConnectHead(
  stream: ChunkStream,
  { connectWaitMs, connectHeadTimeoutMs }: Pick<TunnelContext, 'connectWaitMs' | 'connectHeadTimeoutMs'>,
): Promise<ConnectHead | undefined> {
  const parser = new ConnectHeadParser()
  return new Promise((resolve, reject) => {
    let hasBegun = false
    let timer = setTimeout(() => onGone(), connectWaitMs)
    const onBegin = () => {
      hasBegun = true
      clearTimeout(timer)
      timer = setTimeout(() => {
        stop()
        reject(new Refusal('head-timeout', `no whole CONNECT head within ${connectHeadTimeoutMs} ms`))
      }, connectHeadTimeoutMs)
    }
    const stop = () => {
      clearTimeout(timer)
      stream.off('data', onData).off('close', onGone).off('end', onGone).pause()
    }
    const onGone = () => {
      stop()
      resolve(undefined)
    }
    const onData = (bytes: Buffer) => {
      if (!hasBegun) onBegin()
      const verdict = parser.push(bytes)
      if (verdict.kind === 'incomplete') return
      stop()
      if (verdict.kind === 'refused') {
        reject(new Refusal(verdict.refusal, verdict.detail))
        return
      }
      if (verdict.rest.length > 0) stream.unshift(verdict.rest)
      resolve(verdict)
    }
    stream.on('data', onData).once('close', onGone).once('end', onGone)
  })
}

/** Joins the tunnel and the origin until either is done; says what went wrong, if anything did. */
function splice(stream: ChunkStream, origin: Socket): Promise<AuditErrorCode | undefined> {
  return new Promise((resolve) => {
    let error: AuditErrorCode | undefined
    stream.once('error', () => {
      error ??= 'client-closed'
      origin.destroy()
    })
    // No answer can reach the client any more; what it sent still goes out, for a bounded time.
    stream.once('close', () => {
      origin.setTimeout(LINGER_MS, () => origin.destroy())
      origin.destroySoon()
    })
    origin.once('error', (failure) => {
      error ??= 'upstream-aborted'
      stream.destroy(failure)
    })
    origin.once('close', () => resolve(error))
    stream.pipe(origin)
    origin.pipe(stream)
  })
}
