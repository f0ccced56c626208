// The way through a CONNECT proxy that is there already (mitmproxy, Squid, Envoy, a corporate one): each tunnel is handed
// to it as it is, with the session in a header. What that proxy does with it is its own; the gateway intercepts nothing.

import { request as httpRequest, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { type Authority, formatAuthority } from 'ccr-upstream-proxy/protocol'
import { basicCredential } from '../credentials/schemes/basic.js'
import type { Secret } from '../credentials/secrets/secret.js'
import { Refusal } from '../refusal.js'

/** The proxy as the config has it. */
export interface ForwardConfig {
  readonly proxy: Pick<Authority, 'host' | 'port'>
  /** The header of the CONNECT that names the session. */
  readonly sessionHeader: string
  /** For Proxy-Authorization. */
  readonly credential: { readonly user: Secret; readonly password: Secret } | undefined
}

/** How long connecting and the proxy's answer may take. The proxy dials the origin before it answers. */
const ANSWER_TIMEOUT_MS = 30_000
/** What a proxy answers to a CONNECT is short. */
const MAX_ANSWER_HEAD_BYTES = 16_384

/**
 * A tunnel to `authority` through the proxy.
 * @throws {Refusal}
 */
export function dialThroughProxy(
  { proxy, sessionHeader, credential }: ForwardConfig,
  authority: Authority,
  sessionId: string,
  signal: AbortSignal,
): Promise<Socket> {
  const target = formatAuthority(authority)
  const request = httpRequest({
    host: proxy.host,
    port: proxy.port,
    method: 'CONNECT',
    path: target,
    agent: false,
    signal,
    timeout: ANSWER_TIMEOUT_MS,
    maxHeaderSize: MAX_ANSWER_HEAD_BYTES,
    headers: {
      Host: target,
      [sessionHeader]: sessionId,
      ...(credential && {
        'Proxy-Authorization': basicCredential(credential.user.reveal(), credential.password.reveal()),
      }),
    },
  })
  return new Promise((resolve, reject) => {
    request.once('connect', (response, socket, head) => {
      const refusal = refusalOf(response)
      if (refusal === undefined) resolve(asTunnel(socket as Socket, head))
      else {
        socket.destroy()
        reject(refusal)
      }
    })
    request.once('timeout', () =>
      request.destroy(new Refusal('connection-timeout', 'the proxy did not answer in time')),
    )
    request.on('error', (error) => {
      reject(
        error instanceof Refusal ? error : new Refusal('forward-failed', 'the proxy cannot be reached, or is none'),
      )
    })
    request.end()
  })
}

function asTunnel(socket: Socket, head: Buffer): Socket {
  socket.setTimeout(0)
  socket.setNoDelay(true)
  socket.setKeepAlive(true, 30_000)
  // Until its next owner listens, an error must not end the process.
  socket.on('error', () => {})
  if (head.length > 0) socket.unshift(head)
  return socket
}

/** The proxy's own words are not passed on: they may hold what the agent is not to see. */
function refusalOf({ statusCode = 0 }: IncomingMessage): Refusal | undefined {
  if (statusCode >= 200 && statusCode < 300) return undefined
  if (statusCode === 403) return new Refusal('forward-denied', 'the proxy behind the gateway denies this host')
  return new Refusal('forward-failed', `the proxy behind the gateway answered ${statusCode}`)
}
