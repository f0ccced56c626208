// One request of an intercepted tunnel: planned, sent to the origin, its answer streamed back, audited.
//
// Rules:
// - Bodies are streamed with back-pressure, never collected.
// - Until the origin's answer began, a failure is an HTTP answer of ours. After that nothing of ours is ever written:
//   the client's connection is destroyed, so that a truncated body never looks whole.
// - An answer that the origin gave before it had the whole request is passed on, and the connection then closed.

import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { finished, pipeline } from 'node:stream/promises'
import type { Authority } from 'ccr-upstream-proxy/protocol'
import type { AuditErrorCode, InterceptAuditRecord } from './audit.js'
import { downstreamFields, hasBody, planRequest, type RuledHost, type UpstreamRequest } from './inject.js'
import { Refusal, refusalBody, refusalHeaders } from './refusal.js'
import { type TunnelAgent, upstreamRefusal } from './upstream.js'

/** What a request needs to know of its tunnel. */
export interface InterceptedTunnel {
  readonly id: string
  readonly sessionId: string
  readonly authority: Authority
  readonly host: RuledHost
  readonly agent: TunnelAgent
  readonly responseHeadTimeoutMs: number
  readonly audit: (record: InterceptAuditRecord) => void
  /** Ends the tunnel in a way that no client takes for a clean end. */
  readonly abort: () => void
}

/** 32 KiB, twice node's default and what common origins take at most, in either direction. */
export const MAX_HTTP_HEAD_BYTES = 32_768

/** Methods that may be sent again when a kept connection turns out to be closed (RFC 9110, section 9.2.2). */
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'])

/** Handles one request to its end. Never rejects. */
export async function forwardRequest(
  request: IncomingMessage,
  response: ServerResponse,
  tunnel: InterceptedTunnel,
): Promise<void> {
  const exchange = new Exchange(request, response, tunnel)
  try {
    // Not behind an await: what is refused is answered before the parser reads on.
    const plan = exchange.plan()
    await exchange.run(plan)
  } catch (error) {
    exchange.fail(error)
  }
  await finished(response).catch(() => exchange.noteClientGone())
  exchange.audit()
}

class Exchange {
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #tunnel: InterceptedTunnel
  readonly #time = new Date()
  #plan: UpstreamRequest | undefined
  #requestBytes = 0
  #responseBytes = 0
  #error: AuditErrorCode | undefined

  constructor(request: IncomingMessage, response: ServerResponse, tunnel: InterceptedTunnel) {
    this.#request = request
    this.#response = response
    this.#tunnel = tunnel
    // Both report their errors through the streams that they are part of; alone they must not end the process.
    request.on('error', ignoreError)
    response.on('error', ignoreError)
  }

  /** @throws {Refusal} */
  plan(): UpstreamRequest {
    const { method = '', url = '', rawHeaders } = this.#request
    const head = { method, target: url, fields: rawHeaders }
    this.#plan = planRequest(head, this.#tunnel.authority, this.#tunnel.host)
    return this.#plan
  }

  async run(plan: UpstreamRequest): Promise<void> {
    const upstreamResponse = await this.#ask(plan)
    await this.#answer(upstreamResponse)
  }

  /** Sends the request; once more when a kept connection was closed under it and that is safe. */
  async #ask(plan: UpstreamRequest): Promise<IncomingMessage> {
    const first = this.#send(plan)
    try {
      return await first.response
    } catch (error) {
      const isStale = first.upstream.reusedSocket && upstreamRefusal(error).code === 'connection-closed'
      const isSafe = IDEMPOTENT.has(plan.method) && !hasBody(this.#request.rawHeaders)
      if (!isStale || !isSafe || this.#response.destroyed) throw error
      return this.#send(plan).response
    }
  }

  #send(plan: UpstreamRequest): { upstream: ClientRequest; response: Promise<IncomingMessage> } {
    const { host, port } = this.#tunnel.authority
    const upstream = httpsRequest({
      agent: this.#tunnel.agent,
      host,
      port,
      method: plan.method,
      path: plan.target,
      headers: plan.fields,
      maxHeaderSize: MAX_HTTP_HEAD_BYTES,
    })
    const response = this.#awaitResponse(upstream)
    this.#upload(upstream)
    return { upstream, response }
  }

  #awaitResponse(upstream: ClientRequest): Promise<IncomingMessage> {
    const timeoutMs = this.#tunnel.responseHeadTimeoutMs
    return new Promise((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined
      const onTimeout = () => {
        upstream.destroy(new Refusal('response-timeout', `the origin did not answer in ${timeoutMs} ms`))
      }
      const settle = () => clearTimeout(timer)
      // The wait begins when the origin has the whole request: a long upload is not a slow answer.
      upstream.once('finish', () => {
        timer = setTimeout(onTimeout, timeoutMs)
      })
      upstream.once('response', (response) => {
        settle()
        resolve(response)
      })
      upstream.once('upgrade', () => upstream.destroy(new Refusal('response-invalid', 'the origin switched protocols')))
      upstream.once('close', settle)
      upstream.on('error', reject)
    })
  }

  /**
   * Streams the request's body. Not by `pipeline`: it destroys the request when the origin fails, and with it the
   * connection that our answer has to go through.
   */
  #upload(upstream: ClientRequest): void {
    const onData = (bytes: Buffer) => {
      this.#requestBytes += bytes.length
    }
    const onClientGone = () => upstream.destroy()
    this.#request.on('data', onData)
    this.#request.pipe(upstream)
    this.#response.once('close', onClientGone)
    // An interim answer to `Expect: 100-continue` is the origin's to give; it is passed on as it comes.
    upstream.on('continue', () => this.#response.writeContinue())
    upstream.once('close', () => {
      this.#request.off('data', onData)
      this.#request.unpipe(upstream)
      this.#response.off('close', onClientGone)
    })
  }

  async #answer(upstreamResponse: IncomingMessage): Promise<void> {
    const { statusCode = 502, statusMessage = '', rawHeaders } = upstreamResponse
    // Before pipeline's own listener: it destroys the connection in the way of a clean end.
    upstreamResponse.on('error', () => this.#onUpstreamAborted())
    this.#response.sendDate = false
    this.#response.writeHead(statusCode, statusMessage, downstreamFields(rawHeaders))
    // A head without a body to it goes at once, for event streams; with one, both go together.
    setImmediate(() => {
      if (this.#responseBytes === 0 && !this.#response.writableEnded) this.#response.flushHeaders()
    })
    upstreamResponse.on('data', (bytes: Buffer) => {
      this.#responseBytes += bytes.length
    })
    await pipeline(upstreamResponse, this.#response)
    if (!this.#request.complete) this.#request.socket.destroySoon()
  }

  /** Also called when the client is gone and pipeline gives the origin's answer up. */
  #onUpstreamAborted(): void {
    if (this.#response.destroyed) return
    this.#error ??= 'upstream-aborted'
    this.#tunnel.abort()
  }

  /** Answers with a refusal, or destroys the connection when it is too late for one. */
  fail(error: unknown): void {
    if (this.#response.headersSent || this.#response.destroyed) {
      this.#error ??= 'client-closed'
      this.#response.destroy()
      return
    }
    const refusal = upstreamRefusal(error)
    this.#error = refusal.code
    this.#response.sendDate = false
    this.#response.writeHead(refusal.status, refusal.reason, refusalHeaders(refusal))
    this.#response.end(refusalBody(refusal))
  }

  noteClientGone(): void {
    this.#error ??= 'client-closed'
  }

  audit(): void {
    const { id, sessionId, authority, audit } = this.#tunnel
    const { method = '', url = '' } = this.#request
    const rule = this.#plan?.rule
    audit({
      time: this.#time.toISOString(),
      session: sessionId,
      mode: 'intercept',
      tunnel: id,
      method,
      host: authority.host,
      port: authority.port,
      path: pathOf(url),
      status: this.#response.headersSent ? this.#response.statusCode : 0,
      requestBytes: this.#requestBytes,
      responseBytes: this.#responseBytes,
      ms: Date.now() - this.#time.getTime(),
      injected: this.#plan?.injected ?? [],
      ...(rule !== undefined && { rule }),
      ...(this.#error !== undefined && { error: this.#error }),
    })
  }
}

/** Without the query, and without the userinfo that an absolute target could carry. */
function pathOf(target: string): string {
  if (!target.startsWith('/')) return target === '*' ? '*' : ''
  return target.split(/[?#]/, 1)[0] as string
}

function ignoreError(): void {}
