// Connections that Bun opens, to the gateway or to a target past it: directly, or through the container's own egress proxy with
// a CONNECT of our own (RFC 9110, section 9.3.6).
//
// TLS within TLS, to a gateway behind an egress proxy that speaks TLS itself, is the one thing that Bun's sockets cannot do; its
// node:tls can (node-dial.ts).

import { withDeadline } from '../deadline.js'
import { systemCode, UpstreamProxyError } from '../errors.js'
import { type Authority, formatAuthority } from '../protocol/authority.js'
import { EgressAnswerParser, type EgressProxy, encodeEgressConnect } from '../protocol/egress-proxy.js'
import type { BunConnection, BunConnectionOptions } from './bun-connection.js'
import { openConnection, secureConnection } from './bun-open.js'
import { dialFailed, egressRefusal, egressTimeout, egressUnreachable, targetFailed } from './failures.js'
import { NodeConnection } from './node-connection.js'
import { connectBehindProxy, isSecure, type NodeTrust, portOf } from './node-dial.js'
import type { Connection, ConnectionHandler, Route } from './runtime.js'

/** As Runtime.connect(). */
export async function connect(
  target: Authority,
  route: Route,
  highWaterMarkBytes: number,
  signal: AbortSignal,
): Promise<Connection> {
  const authority = formatAuthority(target)
  const url = new URL(`http://${authority}`)
  const options = { highWaterMarkBytes }
  try {
    if (route.egress !== undefined) return await connectThroughProxy(url, route.egress, route, options, signal)
    const trust = route.trust as NodeTrust
    return await openConnection(url, { trust, names: trust.targets }, options, signal)
  } catch (error) {
    throw error instanceof UpstreamProxyError ? error : targetFailed(authority, systemCode(error))
  }
}

/**
 * Connects to the gateway at `url`, with TLS when its scheme asks for it. What is written may be changed afterwards.
 * @throws {UpstreamProxyError}
 */
export async function connectToGateway(
  url: URL,
  route: Route,
  options: BunConnectionOptions,
  signal: AbortSignal,
): Promise<Connection> {
  const { egress } = route
  const trust = route.trust as NodeTrust
  try {
    if (egress === undefined) return await openConnection(url, { trust, names: trust.names }, options, signal)
    if (isSecure(url) && isSecure(egress.url)) return await connectTlsInTls(url, egress, route, options, signal)
    const connection = await connectThroughProxy(url, egress, route, options, signal)
    return isSecure(url) ? await secureConnection(connection, url, trust, options, signal) : connection
  } catch (error) {
    throw error instanceof UpstreamProxyError ? error : dialFailed(systemCode(error))
  }
}

// -- The egress proxy ------------------------------------------------------------------------------------------------------

function connectThroughProxy(
  url: URL,
  egress: EgressProxy,
  route: Route,
  options: BunConnectionOptions,
  signal: AbortSignal,
): Promise<BunConnection> {
  const { egressTimeoutMs } = route
  const trust = route.trust as NodeTrust
  const createError = (): UpstreamProxyError => egressTimeout(egress, egressTimeoutMs)
  return withDeadline(egressTimeoutMs, createError, async (late) => {
    const deadline = AbortSignal.any([signal, late])
    try {
      const connection = await openConnection(egress.url, { trust, names: trust.names }, options, deadline)
      return await askForTarget(connection, `${url.hostname}:${portOf(url)}`, egress, deadline)
    } catch (error) {
      throw error instanceof UpstreamProxyError ? error : egressUnreachable(egress, systemCode(error) || 'it failed')
    }
  })
}

/** Says CONNECT to the egress proxy and reads its answer; what stands behind it is the first that the target says. */
function askForTarget(
  connection: BunConnection,
  authority: string,
  egress: EgressProxy,
  deadline: AbortSignal,
): Promise<BunConnection> {
  const answer = new EgressAnswerParser()
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => {
      deadline.removeEventListener('abort', onDeadline)
      // Only the first reason counts, and a reset is told as a close at once.
      reject(error)
      connection.reset()
    }
    const onDeadline = (): void => fail(deadline.reason)
    const onClosed = (): void => fail(egressUnreachable(egress, 'it closed the connection'))
    const handler: ConnectionHandler = {
      connectionOnData(bytes) {
        const verdict = answer.push(bytes)
        if (verdict.kind === 'incomplete') return
        if (verdict.kind !== 'open') return fail(egressRefusal(verdict))
        deadline.removeEventListener('abort', onDeadline)
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

class TlsInTlsConnection extends NodeConnection {
  override write(bytes: Uint8Array): boolean {
    return super.write(new Uint8Array(bytes))
  }

  /** A reset is of TCP, which is out of reach below two layers of TLS. */
  override reset(): void {
    this.close()
  }
}

async function connectTlsInTls(
  url: URL,
  egress: EgressProxy,
  route: Route,
  { highWaterMarkBytes }: BunConnectionOptions,
  signal: AbortSignal,
): Promise<Connection> {
  const socket = await connectBehindProxy(url, egress, route, signal)
  return new TlsInTlsConnection(socket, highWaterMarkBytes, false)
}
