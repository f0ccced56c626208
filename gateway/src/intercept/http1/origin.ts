// Sends a request to an HTTP/1.1 origin: framing, body, trailers, upgrade; and holds its answer to the rules before
// anything of it is passed on.

import type { ClientRequest, IncomingMessage } from 'node:http'
import { type Agent, request as httpsRequest } from 'node:https'
import type { Duplex } from 'node:stream'
import type { Authority } from 'ccr-upstream-proxy/protocol'
import { fieldPairs, listOf, type RawFields, valuesOf } from '../../fields.js'
import { Refusal } from '../../refusal.js'
import {
  hasBody,
  InterimCounter,
  MAX_HTTP_HEAD_BYTES,
  type OriginExchange,
  type OriginResponse,
  type SendOptions,
  uploadBody,
} from '../origin-exchange.js'
import { hostField, type OriginRequest } from '../origin-request.js'

/** Sends `request` over a connection of `agent`. */
export function sendHttp1(
  request: OriginRequest,
  authority: Authority,
  agent: Agent,
  options: SendOptions,
): OriginExchange {
  const outgoing = httpsRequest({
    agent,
    host: authority.host,
    port: authority.port,
    method: request.method,
    path: request.target,
    headers: encodeFields(request, authority),
    maxHeaderSize: MAX_HTTP_HEAD_BYTES,
  })
  const response = awaitResponse(outgoing, request, options)
  if (hasBody(request)) sendBody(outgoing, request, options)
  else outgoing.end()
  return {
    response,
    get isReused() {
      return outgoing.reusedSocket
    },
    destroy: () => outgoing.destroy(),
  }
}

function sendBody(outgoing: ClientRequest, request: OriginRequest, options: SendOptions): void {
  // The head goes ahead: the first bytes of a body may wait for what the origin answers to it.
  outgoing.flushHeaders()
  const end = (trailers: string[]) => {
    if (trailers.length > 0 && request.bodyLength === 'unknown') outgoing.addTrailers([...fieldPairs(trailers)])
    outgoing.end()
  }
  uploadBody(request, outgoing, options, { end, abort: () => outgoing.destroy() })
}

function encodeFields(request: OriginRequest, authority: Authority): string[] {
  return [
    ...['Host', hostField(authority)],
    ...request.fields,
    ...framingFields(request),
    ...(request.upgrade === undefined ? [] : ['Connection', 'Upgrade', 'Upgrade', request.upgrade]),
  ]
}

/** The body's framing, regenerated from what the client's parser accepted (RFC 9112, section 6). */
function framingFields({ method, bodyLength }: OriginRequest): string[] {
  if (bodyLength === 'unknown') return ['Transfer-Encoding', 'chunked']
  if (bodyLength !== 'none') return ['Content-Length', String(bodyLength)]
  // RFC 9110, section 8.6: a method that usually has content says so when there is none.
  return method === 'POST' || method === 'PUT' || method === 'PATCH' ? ['Content-Length', '0'] : []
}

function awaitResponse(
  outgoing: ClientRequest,
  request: OriginRequest,
  { responseHeadTimeoutMs, onInterim }: SendOptions,
): Promise<OriginResponse> {
  const interim = new InterimCounter(onInterim)
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined
    const settle = () => clearTimeout(timer)
    const take = (response: IncomingMessage, upgraded?: Duplex) => {
      settle()
      try {
        resolve(readResponse(request, response, upgraded))
      } catch (error) {
        // The rest of such an answer belongs to nobody.
        upgraded?.destroy()
        outgoing.destroy(error as Error)
        reject(error)
      }
    }
    // The wait begins when the origin has the whole request: a long upload is not a slow answer.
    outgoing.once('finish', () => {
      timer = setTimeout(() => {
        outgoing.destroy(new Refusal('response-timeout', `the origin did not answer in ${responseHeadTimeoutMs} ms`))
      }, responseHeadTimeoutMs)
    })
    outgoing.on('information', ({ statusCode, rawHeaders }) => {
      try {
        interim.take(statusCode, rawHeaders)
      } catch (error) {
        outgoing.destroy(error as Error)
      }
    })
    outgoing.once('response', take)
    outgoing.once('upgrade', (response, socket, head) => {
      // The first bytes of the new protocol may have come with the head.
      if (head.length > 0) socket.unshift(head)
      take(response, socket)
    })
    outgoing.once('close', settle)
    outgoing.on('error', reject)
  })
}

/** @throws {Refusal} */
function readResponse(request: OriginRequest, response: IncomingMessage, upgraded?: Duplex): OriginResponse {
  const { statusCode: status = 0, statusMessage: reason = '', rawHeaders: fields } = response
  if (upgraded !== undefined) assertUpgradeAskedFor(request, fields)
  else assertFinal(status, fields)
  return {
    status,
    reason,
    fields,
    hasBody: request.method !== 'HEAD' && status !== 204 && status !== 304,
    body: response,
    isBodyWhole: () => response.complete,
    trailers: () => response.rawTrailers,
    ...(upgraded !== undefined && { upgraded }),
  }
}

function assertUpgradeAskedFor(request: OriginRequest, fields: RawFields): void {
  const [protocol, ...others] = listOf(fields, 'upgrade')
  if (request.upgrade !== undefined && protocol === request.upgrade && others.length === 0) return
  throw new Refusal('response-invalid', 'the origin switched to a protocol that was not asked for')
}

function assertFinal(status: number, fields: RawFields): void {
  // A 101 without the fields of one is no upgrade to node's parser, and no answer to anybody.
  if (status < 200) throw new Refusal('response-invalid', 'the origin switched protocols without saying to which')
  assertFraming(fields)
}

/** RFC 9112, section 6.3: an answer whose length can be read in two ways is not passed on in either. */
function assertFraming(fields: RawFields): void {
  const codings = valuesOf(fields, 'transfer-encoding')
  const lengths = valuesOf(fields, 'content-length')
  const isChunked = codings.length === 1 && codings[0]?.toLowerCase() === 'chunked'
  const isOneLength = lengths.length === 1 && /^[0-9]{1,15}$/.test(lengths[0] as string)
  const isUnambiguous = (isChunked && lengths.length === 0) || (codings.length === 0 && isOneLength)
  if (isUnambiguous || codings.length + lengths.length === 0) return
  throw new Refusal('response-invalid', "the framing of the origin's answer is ambiguous")
}
