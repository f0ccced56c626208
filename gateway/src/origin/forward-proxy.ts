// The way through a CONNECT proxy that is there already (mitmproxy, Squid, Envoy, a corporate one): each tunnel is handed
// to it as it is, with the session in a header. What that proxy does with it is its own; the gateway intercepts nothing.

import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { type Authority, formatAuthority } from 'ccr-upstream-proxy/protocol'
import { basicCredential } from '../credentials/schemes/basic.js'
import type { Secret } from '../credentials/secrets/secret.js'
import { Guard } from '../guard.js'
import { Refusal } from '../refusal.js'
import { withDeadline } from './deadline.js'

/** The proxy as the config has it. */
export interface ForwardConfig {
  readonly proxy: Pick<Authority, 'host' | 'port'>
  /** The header of the CONNECT that names the session. */
  readonly sessionHeader: string
  /** For Proxy-Authorization. */
  readonly credential: { readonly user: Secret; readonly password: Secret } | undefined
}

/** What a proxy answers to a CONNECT is short. */
const MAX_ANSWER_HEAD_BYTES = 16_384

/** For whom, and for how long. */
export interface ForwardOptions {
  readonly sessionId: string
  readonly signal: AbortSignal
  /** For connecting and the proxy's answer, before which it dials the origin. */
  readonly timeoutMs: number
}

/**
 * A tunnel to `authority` through the proxy.
 * @throws {Refusal}
 */
export function dialThroughProxy(
  forward: ForwardConfig,
  authority: Authority,
  { sessionId, signal, timeoutMs }: ForwardOptions,
): Promise<Socket> {
  return withDeadline(signal, timeoutMs, (inTime) => {
    return untilAnswered(connectRequest(forward, formatAuthority(authority), sessionId), inTime)
  })
}

function connectRequest({ proxy, sessionHeader, credential }: ForwardConfig, target: string, sessionId: string) {
  return httpRequest({
    host: proxy.host,
    port: proxy.port,
    method: 'CONNECT',
    path: target,
    agent: false,
    maxHeaderSize: MAX_ANSWER_HEAD_BYTES,
    headers: {
      Host: target,
      [sessionHeader]: sessionId,
      ...(credential && {
        'Proxy-Authorization': basicCredential(credential.user.reveal(), credential.password.reveal()),
      }),
    },
  })
}

/** Not by `timeout`: that one begins anew with each byte of the answer. Nor by `signal`: it would outlive the answer. */
function untilAnswered(request: ClientRequest, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const guard = new Guard((thrown) => fail(thrown))
    const onAbort = () => fail(new Refusal('connection-timeout', 'the proxy did not answer in time'))
    const stopWaiting = guard.onAbort(signal, onAbort)
    const fail = (reason: unknown) => {
      stopWaiting()
      request.destroy()
      reject(reason)
    }
    guard.on(request, 'error', () => fail(new Refusal('forward-failed', 'the proxy cannot be reached, or is none')))
    guard.once(request, 'connect', (response: IncomingMessage, socket: Socket, head: Buffer) => {
      // Until its next owner listens, an error must not end the process.
      guard.ignoreErrors(socket)
      const refusal = refusalOf(response)
      if (refusal === undefined) {
        stopWaiting()
        resolve(asTunnel(socket, head))
        return
      }
      socket.destroy()
      fail(refusal)
    })
    if (signal.aborted) onAbort()
    request.end()
  })
}

function asTunnel(socket: Socket, head: Buffer): Socket {
  socket.setNoDelay(true)
  socket.setKeepAlive(true, 30_000)
  if (head.length > 0) socket.unshift(head)
  return socket
}

/** The proxy's own words are not passed on: they may hold what the agent is not to see. */
function refusalOf({ statusCode = 0 }: IncomingMessage): Refusal | undefined {
  if (statusCode >= 200 && statusCode < 300) return undefined
  if (statusCode === 403) return new Refusal('forward-denied', 'the proxy behind the gateway denies this host')
  return new Refusal('forward-failed', `the proxy behind the gateway answered ${statusCode}`)
}
