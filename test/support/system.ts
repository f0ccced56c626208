// The whole system on loopback: an HTTPS origin, the real gateway in front of it, and sessions as an orchestrator makes
// them: a folder with a token file and the environment that configures the proxy.

import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type AuditRecord, type Gateway, hashToken, loadGatewayConfig, startGateway } from 'ccr-upstream-gateway'
import { type Origin, originCa, startOrigin } from './origin.js'
import { createTempDirectory, type Scope } from './temp-dir.js'
import { createTestCa, type TestCa } from './test-ca.js'
import type { Actor } from './unprivileged.js'

/** The session token of every session here. Whoever sees it where it should not be has found a leak. */
export const TOKEN = 'sentinel-token.0123456789abcdef-ABCDEF_~'
/** What the gateway injects. */
export const SECRET = 'sentinel-secret/value+0=='
export const SESSION_ID = 'session-1'
/** A host with a rule: intercepted, and the secret injected. */
export const RULED_HOST = 'api.example.test'
/** A host without: spliced. */
export const PLAIN_HOST = 'plain.example.test'
/** A target that the gateway refuses without dialling it: a cloud's metadata service. */
export const DENIED_AUTHORITY = '100.100.100.200:443'

/** What a test may set. */
export interface SystemOptions {
  /** The root that every origin's certificate comes from. Default: that of startOrigin(). */
  readonly publicCa?: TestCa
  /** More origins behind the gateway: `host`, or `host:port` → `address:port`. */
  readonly origins?: Readonly<Record<string, string>>
  /** More rules: the config's `hosts`. */
  readonly hosts?: Readonly<Record<string, unknown>>
  /** Gets every audit record when it is written. */
  readonly onAudit?: (record: AuditRecord) => void
  /** What the gateway is called in its URL instead of 127.0.0.1. */
  readonly gatewayHost?: string
  /** The root of what the gateway signs for intercepted hosts, and that of its own certificate; made anew without them. */
  readonly interceptionCa?: TestCa
  readonly gatewayCa?: TestCa
  /** Hosts that the gateway refuses: the config's `deny`. */
  readonly deny?: readonly string[]
  /** Ports besides 443 that may be dialled. */
  readonly allowPorts?: readonly number[]
  /** More sessions, which may have the same id, and what they may name: the config's `sessions` and `policies`. */
  readonly sessions?: readonly object[]
  readonly policies?: Readonly<Record<string, object>>
  /** Milliseconds that the gateway gives an origin to be dialled. */
  readonly dialTimeoutMs?: number
}

/** A running system. */
export interface System {
  readonly origin: Origin
  readonly gateway: Gateway
  readonly audit: readonly AuditRecord[]
  /** The root of the origins' certificates, PEM. */
  readonly publicRootPem: string
  /** What configures a proxy for this gateway, but for the token file. */
  readonly environment: Readonly<Record<string, string>>
}

/** The rule that injects the secret. */
export const INJECTION = [{ transform: [{ headers: { Authorization: `Bearer \${env:API_SECRET}` } }] }]

/** Starts the origin and the gateway; they go with `scope`. */
export async function startSystem(scope: Scope, options: SystemOptions = {}): Promise<System> {
  const directory = createTempDirectory(scope, 'system')
  chmodSync(directory, 0o755)
  const put = (name: string, text: string, mode = 0o644): string => {
    writeFileSync(join(directory, name), text, { mode })
    return join(directory, name)
  }
  const { publicCa = originCa } = options
  const origin = await startOrigin(scope, { certificate: await publicCa.serverCertificate(RULED_HOST, PLAIN_HOST) })
  const interceptionCa = options.interceptionCa ?? (await createTestCa('interception root'))
  const gatewayCa = options.gatewayCa ?? (await createTestCa('gateway root'))
  const gatewayHost = options.gatewayHost ?? '127.0.0.1'
  const own = await gatewayCa.serverCertificate(gatewayHost)
  const origins = { [RULED_HOST]: origin.address, [PLAIN_HOST]: origin.address, ...options.origins }
  const config = {
    listen: '127.0.0.1:0',
    tls: { certificate: put('tls.pem', own.cert), key: put('tls.key', own.key, 0o600) },
    ca: { certificate: put('ca.pem', interceptionCa.rootPem), key: put('ca.key', interceptionCa.rootKeyPem, 0o600) },
    sessions: [{ id: SESSION_ID, tokenSha256: hashToken(TOKEN) }, ...(options.sessions ?? [])],
    ...(options.policies && { policies: options.policies }),
    upstream: {
      caFiles: [put('public-root.pem', publicCa.rootPem)],
      connectTo: Object.fromEntries(Object.entries(origins).map(([host, address]) => [authorityOf(host), address])),
      allowPorts: [443, ...(options.allowPorts ?? [])],
    },
    hosts: { [RULED_HOST]: INJECTION, ...options.hosts },
    ...(options.deny && { deny: options.deny }),
  }
  const file = put('gateway.json', JSON.stringify(config))
  const audit: AuditRecord[] = []
  const gateway = await startGateway(loadGatewayConfig(file, { API_SECRET: SECRET }), {
    ...(options.dialTimeoutMs && { dialTimeoutMs: options.dialTimeoutMs }),
    audit: (record) => {
      audit.push(record)
      options.onAudit?.(record)
    },
  })
  scope.after(() => gateway.close())
  const environment = {
    CLAUDE_CODE_REMOTE: '1',
    CCR_UPSTREAM_PROXY_ENABLED: '1',
    CCR_UPSTREAM_PROXY_URL: gateway.url.replace('127.0.0.1', gatewayHost),
    CCR_UPSTREAM_PROXY_GATEWAY_CA: put('gateway-root.pem', gatewayCa.rootPem),
    CCR_SYSTEM_CA_BUNDLE: put('system-bundle.pem', publicCa.rootPem),
    CLAUDE_CODE_REMOTE_SESSION_ID: SESSION_ID,
  }
  return { origin, gateway, audit, publicRootPem: publicCa.rootPem, environment }
}

/** @param host the port may be left out: 443 */
export function authorityOf(host: string): string {
  return /:\d+$/.test(host) ? host : `${host}:443`
}

/** A session's own folder. */
export interface Session {
  readonly directory: string
  /** Holds the token, mode 0600. */
  readonly tokenFile: string
  /** TMPDIR of its processes, empty. */
  readonly temporary: string
  /** The whole environment of its processes. */
  readonly env: Readonly<Record<string, string>>
}

/** Makes the folder of a session that `actor` runs. */
export function createSession(
  scope: Scope,
  actor: Actor,
  environment: Readonly<Record<string, string>>,
  token = `${TOKEN}\n`,
): Session {
  const directory = createTempDirectory(scope, 'session')
  const tokenFile = join(directory, 'session_token')
  const temporary = join(directory, 'tmp')
  writeFileSync(tokenFile, token, { mode: 0o600 })
  mkdirSync(temporary)
  actor.own(directory, tokenFile, temporary)
  const env = {
    PATH: process.env.PATH ?? '',
    HOME: directory,
    TMPDIR: temporary,
    LC_ALL: 'C',
    ...environment,
    CCR_SESSION_TOKEN_PATH: tokenFile,
  }
  return { directory, tokenFile, temporary, env }
}
