// What the demo needs around the program that it shows: an origin, a gateway with a rule, a folder with their files, and
// a way to run commands there. All of it goes with close().

import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  createCertificateAuthority,
  type Gateway,
  hashToken,
  issueServerCertificate,
  loadGatewayConfig,
  startGateway,
} from 'ccr-upstream-gateway'
import { startEchoOrigin } from './echo-origin.js'

/** The host that the rule is about. No DNS knows it: only the gateway knows where it leads. */
export const ORIGIN_HOST = 'api.demo.test'

const CLI = fileURLToPath(new URL('cli/main.js', import.meta.resolve('ccr-upstream-proxy')))
const NODE_CLIENT = fileURLToPath(new URL('node-client.js', import.meta.url))

/** A command that is told to end has this long before it is made to. */
const END_TIMEOUT_MS = 5_000

/** How a command ended. */
export interface CommandResult {
  readonly exitCode: number | null
  /** Standard output, then standard error. */
  readonly output: string
}

/** Takes down what was set up, in the opposite order. */
type Undo = () => void | Promise<void>

/** The stage, set. */
export class Stage {
  /** What the gateway injects; made up for this run. */
  readonly secret = `demo-secret-${randomBytes(8).toString('hex')}`
  /** What the relay shows to the gateway. */
  readonly token = `demo-token-${randomBytes(16).toString('hex')}`
  readonly #root: string
  readonly #undo: Undo[] = []
  #gateway: Gateway | undefined
  #closing: Promise<void> | undefined

  /** Nothing runs yet: see open(). */
  constructor() {
    this.#root = realpathSync(mkdtempSync(join(tmpdir(), 'ccr-demo-')))
    this.#undo.push(() => rmSync(this.#root, { recursive: true, force: true }))
    for (const name of ['bin', 'gateway', 'container', 'container/tmp']) mkdirSync(this.#path(name), { mode: 0o700 })
    writeFileSync(this.#path('bin/ccr-upstream-proxy'), `#!/bin/sh\nexec '${process.execPath}' '${CLI}' "$@"\n`, {
      mode: 0o700,
    })
  }

  /** Starts the origin and the gateway. */
  async open(): Promise<void> {
    const publicCa = await createCertificateAuthority({ commonName: 'demo public root', days: 1 })
    const { certificatePem: cert, privateKeyPem: key } = await issueServerCertificate(publicCa, [ORIGIN_HOST])
    const origin = await startEchoOrigin({ after: (close) => this.#undo.push(close) }, { cert, key })
    await this.#writeGatewayFiles(publicCa.certificatePem, origin.port)
    const gateway = await startGateway(loadGatewayConfig(this.#path('gateway/gateway.yaml'), {}))
    this.#gateway = gateway
    this.#undo.push(() => gateway.close())
  }

  async #writeGatewayFiles(publicRootPem: string, originPort: number): Promise<void> {
    const interceptionCa = await createCertificateAuthority({ commonName: 'demo interception CA', days: 30 })
    const gatewayCa = await createCertificateAuthority({ commonName: 'demo gateway root', days: 1 })
    const own = await issueServerCertificate(gatewayCa, ['127.0.0.1'])
    this.#write('gateway/public-root.pem', publicRootPem)
    this.#write('gateway/ca.pem', interceptionCa.certificatePem)
    this.#write('gateway/ca.key', interceptionCa.privateKeyPem())
    this.#write('gateway/tls.pem', own.certificatePem)
    this.#write('gateway/tls.key', own.privateKeyPem)
    this.#write('gateway/api-secret', `${this.secret}\n`)
    this.#write('gateway/gateway.yaml', this.#gatewayConfig(originPort))
    this.#write('container/gateway-root.pem', gatewayCa.certificatePem)
  }

  #gatewayConfig(originPort: number): string {
    return `listen: 127.0.0.1:0
tls: { certificate: tls.pem, key: tls.key }
ca: { certificate: ca.pem, key: ca.key }
sessions: [{ id: demo-session, tokenSha256: ${hashToken(this.token)} }]
audit: audit.jsonl
upstream:
  caFiles: [public-root.pem]
  connectTo: { "${ORIGIN_HOST}:443": "127.0.0.1:${originPort}" }
hosts:
  ${ORIGIN_HOST}:
    - transform:
        - headers: { Authorization: "Bearer \${file:api-secret}" }
`
  }

  /** The gateway's configuration, word for word. */
  get gatewayConfig(): string {
    return readFileSync(this.#path('gateway/gateway.yaml'), 'utf8')
  }

  /** What configures the proxy. */
  get configuration(): Readonly<Record<string, string>> {
    return {
      CLAUDE_CODE_REMOTE: '1',
      CCR_UPSTREAM_PROXY_ENABLED: '1',
      CCR_UPSTREAM_PROXY_URL: this.#gateway?.url ?? '',
      CCR_UPSTREAM_PROXY_GATEWAY_CA: 'gateway-root.pem',
      CCR_SESSION_TOKEN_PATH: 'session_token',
      CLAUDE_CODE_REMOTE_SESSION_ID: 'demo-session',
    }
  }

  /** Puts the session token where the proxy takes it from, as an orchestrator does at the start of a session. */
  provideToken(): void {
    this.#write('container/session_token', `${this.token}\n`)
  }

  /** The container's folder. */
  get folder(): string {
    return this.#path('container')
  }

  /** What programs in the container get: nothing but the proxy's configuration. */
  get environment(): Readonly<Record<string, string>> {
    return {
      PATH: [this.#path('bin'), ...programFolders()].join(delimiter),
      HOME: this.folder,
      TMPDIR: this.#path('container/tmp'),
      LC_ALL: 'C',
      ...this.configuration,
    }
  }

  /** Runs a program in the container's folder. */
  async run(program: string, ...args: string[]): Promise<CommandResult> {
    const child = spawn(program, args, { cwd: this.folder, env: this.environment, stdio: ['ignore', 'pipe', 'pipe'] })
    this.#undo.push(() => endProcess(child))
    const pieces: [Buffer[], Buffer[]] = [[], []]
    child.stdout.on('data', (bytes: Buffer) => pieces[0].push(bytes))
    child.stderr.on('data', (bytes: Buffer) => pieces[1].push(bytes))
    const [exitCode] = (await once(child, 'close')) as [number | null]
    if (this.#closing !== undefined) throw new Error('the demo was interrupted')
    this.#undo.pop()
    return { exitCode, output: Buffer.concat(pieces.flat()).toString('utf8') }
  }

  /** A shell in the container's folder, with a session token, for whoever looks around; until it ends. */
  async runShell(): Promise<void> {
    this.provideToken()
    const env = { ...this.environment, PS1: 'container$ ', TERM: process.env.TERM ?? 'dumb' }
    const child = spawn('sh', [], { cwd: this.folder, env, stdio: 'inherit' })
    this.#undo.push(() => endProcess(child))
    await once(child, 'close')
    this.#undo.pop()
  }

  /** The command line of the client that stands in for curl. */
  get nodeClient(): readonly [string, string] {
    return [process.execPath, NODE_CLIENT]
  }

  /** A file of the container's folder, or undefined. */
  readContainerFile(name: string): string | undefined {
    if (!readdirSync(this.#path('container')).includes(name)) return undefined
    return readFileSync(this.#path(`container/${name}`), 'latin1')
  }

  /** What lies in the container's temporary folder. */
  get temporaryFiles(): string[] {
    return readdirSync(this.#path('container/tmp'))
  }

  /** Stops the gateway, so that its audit is complete, and reads that. */
  async closeGatewayAndReadAudit(): Promise<string> {
    await this.#gateway?.close()
    return readFileSync(this.#path('gateway/audit.jsonl'), 'utf8')
  }

  /** Ends what runs and removes the folder; any number of times. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    for (const undo of this.#undo.splice(0).reverse()) await undo()
  }

  #path(name: string): string {
    return join(this.#root, name)
  }

  #write(name: string, text: string): void {
    writeFileSync(this.#path(name), text, { mode: 0o600 })
  }
}

/** Those of PATH, without what `npm run` has put before: the container has nothing of this repository's packages. */
function programFolders(): string[] {
  const folders = (process.env.PATH ?? '').split(delimiter)
  return folders.filter((folder) => !/[/]node_modules[/](?:\.bin|.*[/]node-gyp-bin)$/.test(folder))
}

async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'close')
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), END_TIMEOUT_MS)
  await ended
  clearTimeout(timer)
}
