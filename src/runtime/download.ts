// One small GET with a limit of size and a signal that ends it, over whatever connection the runtime's adapter makes.

import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { startDeadline } from '../deadline.js'
import { systemCode, UpstreamProxyError } from '../errors.js'
import { dialFailed, gatewaySilent } from './failures.js'
import type { Opening } from './node-dial.js'
import type { DownloadedAnswer, DownloadLimits } from './runtime.js'

/** GET `url` over a connection that is under way there. */
export function download(url: URL, opening: Opening, limits: DownloadLimits): Promise<DownloadedAnswer> {
  return new Promise((resolve, reject) => {
    const send = url.protocol === 'https:' ? httpsRequest : httpRequest
    const headers = { Accept: 'application/x-pem-file, text/plain', Connection: 'close' }
    const { createConnection } = opening
    const request = send(url, { method: 'GET', headers, createConnection }, (response) => {
      collect(response, limits.maxBytes).then((body) => {
        limits.signal.removeEventListener('abort', onAbort)
        resolve({ status: response.statusCode ?? 0, location: response.headers.location, body })
      }, fail)
    })
    const fail = (error: unknown): void => {
      reach?.clear()
      limits.signal.removeEventListener('abort', onAbort)
      request.destroy()
      opening.abandon()
      reject(error instanceof UpstreamProxyError ? error : dialFailed(systemCode(error)))
    }
    const onAbort = (): void => fail(limits.signal.reason)
    const { reachTimeoutMs } = limits
    const reach =
      reachTimeoutMs === undefined
        ? undefined
        : startDeadline(reachTimeoutMs, () => fail(gatewaySilent(reachTimeoutMs)))
    opening.reached.then(
      () => reach?.clear(),
      () => {},
    )
    limits.signal.addEventListener('abort', onAbort)
    request.on('error', fail).end()
    if (limits.signal.aborted) onAbort()
  })
}

/** Reads a body up to a limit; memory is taken for what came, not for what was announced. */
async function collect(response: IncomingMessage, maxBytes: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  let length = 0
  for await (const piece of response as AsyncIterable<Uint8Array>) {
    length += piece.length
    if (length > maxBytes) throw new UpstreamProxyError('ca-invalid', `the answer is longer than ${maxBytes} bytes`)
    pieces.push(piece)
  }
  if (!response.complete) throw new UpstreamProxyError('gateway-unreachable', 'the CA download was cut off')
  return Buffer.concat(pieces)
}
