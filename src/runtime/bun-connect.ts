// Connections that Bun opens to a target past the gateway: directly, or through the container's own egress proxy.

import { systemCode, UpstreamProxyError } from '../errors.js'
import { type Authority, formatAuthority } from '../protocol/authority.js'
import { EgressAnswerParser, type EgressProxy, encodeEgressConnect } from '../protocol/egress-proxy.js'
import { type BunConnection, openConnection } from './bun-connection.js'
import type { BunTrust } from './bun-gateway.js'
import { egressRefusal, egressTimeout, egressUnreachable, targetFailed } from './failures.js'
import type { Connection, ConnectionHandler, Route } from './runtime.js'

/** As Runtime.connect(). */
export async function connect(
  target: Authority,
  route: Route,
  highWaterMarkBytes: number,
  signal: AbortSignal,
): Promise<Connection> {
  if (route.egress !== undefined) return connectThroughProxy(target, route.egress, route, highWaterMarkBytes, signal)
  try {
    return await openConnection({ hostname: target.host, port: target.port }, highWaterMarkBytes, signal)
  } catch (error) {
    throw targetFailed(formatAuthority(target), systemCode(error))
  }
}

async function connectThroughProxy(
  target: Authority,
  egress: EgressProxy,
  { trust, egressTimeoutMs }: Route,
  highWaterMarkBytes: number,
  signal: AbortSignal,
): Promise<Connection> {
  const { protocol, hostname, port } = egress.url
  const isSecure = protocol === 'https:'
  const address = {
    hostname: hostname.replace(/^\[|\]$/g, ''),
    port: Number(port || (isSecure ? 443 : 80)),
    ...(isSecure ? { tls: (trust as BunTrust).trust } : {}),
  }
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(egressTimeoutMs)])
  try {
    const connection = await openConnection(address, highWaterMarkBytes, deadline)
    return await askForTarget(connection, formatAuthority(target), egress, deadline)
  } catch (error) {
    if (error instanceof UpstreamProxyError) throw error
    if (deadline.aborted) throw egressTimeout(egress, egressTimeoutMs)
    throw egressUnreachable(egress, systemCode(error) || 'it failed')
  }
}

/** Says CONNECT to the egress proxy and reads its answer; what stands behind it is the first that the target says. */
function askForTarget(
  connection: BunConnection,
  authority: string,
  egress: EgressProxy,
  deadline: AbortSignal,
): Promise<Connection> {
  const answer = new EgressAnswerParser()
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => {
      connection.reset()
      reject(error)
    }
    const onDeadline = (): void => fail(deadline.reason)
    const onClosed = (): void => fail(egressUnreachable(egress, 'it closed the connection'))
    const handler: ConnectionHandler = {
      connectionOnData(bytes) {
        const verdict = answer.push(bytes)
        if (verdict.kind === 'incomplete') return
        deadline.removeEventListener('abort', onDeadline)
        if (verdict.kind !== 'open') return fail(egressRefusal(verdict))
        connection.pushBack(verdict.rest)
        resolve(connection)
      },
      connectionOnEnd: onClosed,
      connectionOnDrain() {},
      connectionOnFinish() {},
      connectionOnClose: onClosed,
    }
    deadline.addEventListener('abort', onDeadline)
    connection.start(handler)
    connection.write(Buffer.from(encodeEgressConnect(authority, egress)))
  })
}
