// A gateway for the tests of its operation: any config, files beside it, and an origin that is a function.

import { EventEmitter, once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import type { IncomingHttpHeaders, RequestListener } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import {
  type AuditRecord,
  type Gateway,
  type GatewayConfig,
  type GatewayOptions,
  hashToken,
  parseGatewayConfig,
  startGateway,
} from 'ccr-upstream-gateway'
import { createTempDirectory } from '../support/temp-dir.js'
import { createTestCa } from '../support/test-ca.js'
import { CREDENTIALS, requestOver, responseOf, textOf } from './fixture.js'
import { type Credentials, connect, startTls } from './wire-client.js'

export const HOST = 'api.example.com'

export interface OpsOptions {
  /** Top-level keys of the config, over the defaults. */
  readonly config?: Record<string, unknown>
  /** Files beside the config, by name. */
  readonly files?: Record<string, string>
  readonly env?: Record<string, string>
  /** Default: answers with the fields that it got, as JSON. */
  readonly origin?: RequestListener
  readonly gateway?: GatewayOptions
}

export interface Ops {
  readonly folder: string
  readonly gateway: Gateway
  readonly tunnelUrl: string
  readonly originAddress: string
  readonly originRootPem: string
  /** The first records, when there are so many. */
  readonly records: (count: number) => Promise<AuditRecord[]>
  readonly warnings: readonly string[]
  /** The config of this gateway with other top-level keys. */
  readonly configWith: (keys: Record<string, unknown>) => GatewayConfig
  readonly put: (name: string, text: string) => void
}

const echo: RequestListener = (request, response) => response.end(JSON.stringify(request.headers))

/** Starts both; they are closed when the test ends. */
export async function startOps(context: TestContext, options: OpsOptions = {}): Promise<Ops> {
  const folder = createTempDirectory(context, 'ops')
  const put = (name: string, text: string) => {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), text)
  }
  const [originCa, interceptionCa] = [await createTestCa('origin root'), await createTestCa('interception root')]
  const certificate = await originCa.serverCertificate(HOST, 'other.example.com', 'plain.example.com')
  const origin = createServer(certificate, options.origin ?? echo)
  await new Promise<void>((resolve) => origin.listen(0, '127.0.0.1', resolve))
  const originAddress = `127.0.0.1:${(origin.address() as AddressInfo).port}`
  const files = { 'ca.pem': interceptionCa.rootPem, 'ca.key': interceptionCa.rootKeyPem, 'root.pem': originCa.rootPem }
  for (const [name, text] of Object.entries({ ...files, ...options.files })) put(name, text)
  const base = {
    listen: '127.0.0.1:0',
    ca: { certificate: 'ca.pem', key: 'ca.key' },
    sessions: [{ id: CREDENTIALS.session, tokenSha256: hashToken(CREDENTIALS.token) }],
    upstream: {
      caFiles: ['root.pem'],
      connectTo: Object.fromEntries(
        [HOST, 'other.example.com', 'plain.example.com'].map((host) => [`${host}:443`, originAddress]),
      ),
    },
  }
  const env = { PATH: process.env.PATH, ...options.env }
  const configWith = (keys: Record<string, unknown>) => {
    return parseGatewayConfig(JSON.stringify({ ...base, ...keys }, null, 1), { file: 'ops.json', env, baseDir: folder })
  }
  const audit: AuditRecord[] = []
  const written = new EventEmitter()
  const records = async (count: number) => {
    while (audit.length < count) await once(written, 'record')
    return audit.slice(0, count)
  }
  const warnings: string[] = []
  const gateway = await startGateway(configWith(options.config ?? {}), {
    audit: (record) => {
      audit.push(record)
      written.emit('record')
    },
    warn: (message) => warnings.push(message),
    ...options.gateway,
  })
  context.after(async () => {
    await gateway.close()
    origin.closeAllConnections()
    await new Promise((resolve) => origin.close(resolve))
  })
  const tunnelUrl = `${gateway.url.replace('http', 'ws')}/upstreamproxy/ws`
  return {
    folder,
    gateway,
    tunnelUrl,
    originAddress,
    originRootPem: originCa.rootPem,
    records,
    warnings,
    configWith,
    put,
  }
}

export interface CallOptions {
  readonly path?: string
  readonly method?: string
  readonly headers?: Record<string, string>
  readonly host?: string
  readonly credentials?: Credentials
}

export interface CallAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

/** One request through a tunnel of its own. */
export async function call(ops: Ops, options: CallOptions = {}): Promise<CallAnswer> {
  const { host = HOST, credentials = CREDENTIALS, headers = {}, ...rest } = options
  const { stream, status, text } = await connect(ops.tunnelUrl, credentials, `${host}:443`)
  if (status !== 200) return { status, headers: {}, text }
  const socket = await startTls(stream, ops.gateway.caCertificatePem, host)
  const request = requestOver(socket, { ...rest, headers: { host, connection: 'close', ...headers } })
  request.end()
  const response = await responseOf(request)
  const answer = { status: response.statusCode ?? 0, headers: response.headers, text: await textOf(response) }
  socket.destroy()
  return answer
}

/** The fields that the echoing origin got. */
export async function fieldsOf(answer: Promise<CallAnswer>): Promise<Record<string, string>> {
  return JSON.parse((await answer).text)
}
