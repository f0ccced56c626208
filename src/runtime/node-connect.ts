// Connections of Node to the gateway: directly, or through the container's own egress proxy with a CONNECT of our own
// (RFC 9110, section 9.3.6). The usual agents for that have no time limit, no limit on the proxy's answer, and lose what
// comes behind it.

import { isIP, connect as netConnect, type Socket } from 'node:net'
import { type ConnectionOptions, createSecureContext, type SecureContext, connect as tlsConnect } from 'node:tls'
import { systemCode, UpstreamProxyError } from '../errors.js'
import type { EgressProxy } from '../protocol/egress-proxy.js'
import { egressNotHttp, egressRefused, egressTimeout, egressUnreachable } from './failures.js'
import type { GatewayRoute, Trust } from './runtime.js'

/** Milliseconds that one address of a name gets before the next is tried. Node's 250 make far hosts unreachable. */
const ADDRESS_ATTEMPT_TIMEOUT_MS = 2_500
/** As much as Node's own HTTP parser would take. */
const MAX_PROXY_HEAD_BYTES = 16_384

/** One TLS context for all connections: parsing a system bundle blocks the event loop for up to 26 ms. */
export class NodeTrust implements Trust {
  readonly trust: SecureContext

  /** @param certificates PEM; Node's own roots when undefined */
  constructor(certificates: string | undefined) {
    this.trust = createSecureContext(certificates === undefined ? {} : { ca: certificates })
  }
}

type Connected = (error: Error | null, socket?: Socket) => void

/** Connects to the host of `url`, with TLS when its scheme asks for it: at once, or later through the callback. */
export function connectTo(url: URL, route: GatewayRoute, connected: Connected): Socket | undefined {
  const { egress, trust } = route
  if (egress === undefined) return connectDirectly(url, trust)
  connectThroughProxy(url, egress, route).then(
    (socket) => connected(null, isSecure(url) ? tlsConnect({ socket, ...tlsOptions(url, trust) }) : socket),
    (error: Error) => connected(error),
  )
  return undefined
}

function connectDirectly(url: URL, trust: Trust): Socket {
  const address = {
    host: hostOf(url),
    port: portOf(url),
    noDelay: true,
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: ADDRESS_ATTEMPT_TIMEOUT_MS,
  }
  return isSecure(url) ? tlsConnect({ ...address, ...tlsOptions(url, trust) }) : netConnect(address)
}

function tlsOptions(url: URL, trust: Trust): ConnectionOptions {
  const host = hostOf(url)
  return {
    host,
    secureContext: (trust as NodeTrust).trust,
    // Said here, so that NODE_TLS_REJECT_UNAUTHORIZED has no say.
    rejectUnauthorized: true,
    ALPNProtocols: ['http/1.1'],
    ...(isIP(host) === 0 ? { servername: host } : {}),
  }
}

function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '')
}

function isSecure(url: URL): boolean {
  return url.protocol === 'wss:' || url.protocol === 'https:'
}

function portOf(url: URL): number {
  return Number(url.port || (isSecure(url) ? 443 : 80))
}

// -- The egress proxy ------------------------------------------------------------------------------------------------------

function connectThroughProxy(url: URL, egress: EgressProxy, route: GatewayRoute): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connectDirectly(egress.url, route.trust)
    const answer = new ProxyAnswer()
    const settle = (error: UpstreamProxyError | undefined): void => {
      clearTimeout(timer)
      socket.removeListener('data', onData).removeListener('error', onError).removeListener('end', onEnd)
      if (error === undefined) resolve(socket)
      else {
        socket.on('error', () => {}).destroy()
        reject(error)
      }
    }
    const onData = (bytes: Buffer): void => {
      const verdict = answer.push(bytes)
      if (verdict === undefined) return
      if (!(verdict instanceof UpstreamProxyError)) {
        socket.pause()
        if (verdict.rest.length > 0) socket.unshift(verdict.rest)
      }
      settle(verdict instanceof UpstreamProxyError ? verdict : undefined)
    }
    const onError = (error: Error): void => settle(egressUnreachable(egress, systemCode(error) || 'it failed'))
    const onEnd = (): void => settle(egressUnreachable(egress, 'it closed the connection'))
    const timer = setTimeout(() => settle(egressTimeout(egress, route.egressTimeoutMs)), route.egressTimeoutMs)
    socket.on('data', onData).on('error', onError).on('end', onEnd)
    socket.write(encodeProxyConnect(url, egress))
  })
}

function encodeProxyConnect(url: URL, { authorization }: EgressProxy): string {
  const authority = `${url.hostname}:${portOf(url)}`
  const credential = authorization === undefined ? '' : `Proxy-Authorization: ${authorization}\r\n`
  return `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${credential}\r\n`
}

/** Collects the proxy's answer head; what stands behind it belongs to the connection. */
class ProxyAnswer {
  #bytes = Buffer.alloc(0)

  push(bytes: Buffer): { readonly rest: Buffer } | UpstreamProxyError | undefined {
    this.#bytes = Buffer.concat([this.#bytes, bytes])
    const end = this.#bytes.indexOf('\r\n\r\n')
    if (end === -1 && this.#bytes.length <= MAX_PROXY_HEAD_BYTES) return undefined
    const status = /^HTTP\/1\.[01] ([0-9]{3})/.exec(this.#bytes.toString('latin1', 0, 16))?.[1]
    if (end === -1 || status === undefined) return egressNotHttp()
    return status.startsWith('2') ? { rest: this.#bytes.subarray(end + 4) } : egressRefused(Number(status))
  }
}
