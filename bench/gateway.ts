// What an intercepted request costs the gateway: 200 requests a second through one relay, a header injected into each, and
// mitmproxy at the same job in the same run, round by round in turn. Client, relay and origin are this process; what is
// measured is the process that intercepts. CPU time is read from /proc, so only on Linux.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { Agent, createServer, request as httpsRequest, type RequestOptions, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { startRelay } from '#src/index.js'
import type { Benchmark, Goal, Options, Results, Row } from './benchmark.js'
import { median, percentile, rounded } from './figures.js'
import { cpuMicroseconds } from './processes/usage.js'

const MAIN = fileURLToPath(new URL('../../gateway/dist/cli/main.js', import.meta.url))
const HOST = 'api.example.com'
const TOKEN = 'benchmark-token-0123456789'
const REQUESTS_PER_SECOND = 200
const CONNECTIONS = 16
const BODY = Buffer.alloc(2_048, 'x')
/** An odd number of rounds for each, so that there is a middle one; together half a minute. */
const ROUNDS = 5
const ROUND_MS = 6_000
const SHORT_ROUNDS = 3
const SHORT_ROUND_MS = 2_000
/** V8 compiles for some 3,000 requests, in which one costs up to three times what it costs afterwards. */
const WARM_UP_REQUESTS = 3_000

export const gateway: Benchmark = { description: 'intercept 200 requests a second, beside mitmproxy', run }

/** A CONNECT proxy that intercepts, and the process to measure. */
interface Contestant {
  readonly name: string
  readonly pid: number
  readonly agent: Agent
}

interface Round {
  readonly perSecond: number
  readonly cpuMs: number
  readonly latenciesMs: readonly number[]
  readonly failures: number
}

async function run({ isShort }: Options): Promise<Results> {
  const folder = mkdtempSync(join(tmpdir(), 'ccr-bench-'))
  const cleanups: (() => unknown)[] = [() => rmSync(folder, { recursive: true, force: true })]
  try {
    const origin = await startOrigin(folder)
    cleanups.push(() => origin.close().closeAllConnections())
    const { port } = origin.address() as AddressInfo
    const contestants = [await startGateway(folder, port, cleanups)]
    if (isInstalled('mitmdump')) contestants.push(await startMitmproxy(folder, port, cleanups))
    const rounds = await runRounds(contestants, isShort ? SHORT_ROUNDS : ROUNDS, isShort ? SHORT_ROUND_MS : ROUND_MS)
    return summarize(rounds)
  } finally {
    for (const cleanup of cleanups.reverse()) await cleanup()
  }
}

function isInstalled(program: string): boolean {
  try {
    execFileSync(program, ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** Lets in what carries the injected header only, so that a request that missed it is a failure. */
async function startOrigin(folder: string): Promise<Server> {
  execFileSync(process.execPath, [MAIN, 'ca', 'init', '--out', folder])
  execFileSync(process.execPath, [MAIN, 'ca', 'server', '--ca', folder, '--name', HOST, '--out', folder])
  const read = (name: string) => readFileSync(join(folder, name))
  const server = createServer({ cert: read('server.pem'), key: read('server.key') }, (request, response) => {
    response.writeHead(request.headers.authorization === 'Bearer injected' ? 200 : 401).end(BODY)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

async function startGateway(folder: string, originPort: number, cleanups: (() => unknown)[]): Promise<Contestant> {
  writeFileSync(join(folder, 'token'), TOKEN)
  const config = {
    listen: '127.0.0.1:0',
    ca: { certificate: 'ca.pem', key: 'ca.key' },
    sessions: [{ id: 'session', tokenFile: 'token' }],
    upstream: { caFiles: ['ca.pem'], connectTo: { [`${HOST}:443`]: `127.0.0.1:${originPort}` } },
    hosts: { [HOST]: [{ transform: [{ headers: { authorization: { bearer: 'injected' } } }] }] },
    audit: 'audit.jsonl',
  }
  writeFileSync(join(folder, 'gateway.json'), JSON.stringify(config))
  const args = [MAIN, 'serve', '--config', 'gateway.json']
  const { child, match } = await startProgram(process.execPath, args, folder, /listening on http(:\S+)/)
  cleanups.push(() => stop(child))
  const relay = await startRelay({ tunnelUrl: `ws${match}/upstreamproxy/ws`, token: TOKEN })
  cleanups.push(() => relay.close())
  const agent = new ProxyAgent(relay.port, readFileSync(join(folder, 'ca.pem'), 'utf8'))
  cleanups.push(() => agent.destroy())
  return { name: 'gateway', pid: child.pid as number, agent }
}

/** The smallest addon that does the same. */
const ADDON = `
from mitmproxy import ctx

class Inject:
    def load(self, loader):
        loader.add_option("origin_port", int, 0, "where the origin is")

    def server_connect(self, data):
        data.server.address = ("127.0.0.1", ctx.options.origin_port)

    def requestheaders(self, flow):
        flow.request.headers["Authorization"] = "Bearer injected"
        flow.request.stream = True

    def responseheaders(self, flow):
        flow.response.stream = True

addons = [Inject()]
`

async function startMitmproxy(folder: string, originPort: number, cleanups: (() => unknown)[]): Promise<Contestant> {
  writeFileSync(join(folder, 'inject.py'), ADDON)
  const options = [
    'confdir=mitm',
    'ssl_verify_upstream_trusted_ca=ca.pem',
    `origin_port=${originPort}`,
    'termlog_verbosity=info',
  ]
  const args = ['-s', 'inject.py', '--listen-host', '127.0.0.1', '--listen-port', '0', '--set', 'flow_detail=1']
  const settings = options.flatMap((option) => ['--set', option])
  const ready = /listening at (?:http:\/\/)?\S+:(\d+)/
  const { child, match } = await startProgram('mitmdump', [...args, ...settings], folder, ready)
  cleanups.push(() => stop(child))
  const agent = new ProxyAgent(Number(match), readFileSync(join(folder, 'mitm/mitmproxy-ca-cert.pem'), 'utf8'))
  cleanups.push(() => agent.destroy())
  return { name: 'mitmproxy', pid: child.pid as number, agent }
}

async function startProgram(program: string, args: readonly string[], cwd: string, ready: RegExp) {
  const env = { PATH: process.env.PATH, HOME: cwd, LC_ALL: 'C.UTF-8', PYTHONUNBUFFERED: '1' }
  const child = spawn(program, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  const match = await new Promise<string>((resolve, reject) => {
    const onText = (text: Buffer) => {
      if (output.length < 65_536) output += text
      const [, found] = ready.exec(output) ?? []
      if (found !== undefined) resolve(found)
    }
    child.stdout.on('data', onText)
    child.stderr.on('data', onText)
    child.once('error', reject).once('close', (code) => reject(new Error(`${program} ended with ${code}: ${output}`)))
  })
  return { child, match }
}

async function stop(child: ChildProcess): Promise<void> {
  const closed = once(child, 'close')
  child.kill('SIGKILL')
  await closed
}

/** HTTPS through a CONNECT proxy, connections kept alive. */
class ProxyAgent extends Agent {
  readonly #port: number
  readonly #ca: string

  constructor(port: number, ca: string) {
    super({ keepAlive: true, maxSockets: CONNECTIONS })
    this.#port = port
    this.#ca = ca
  }

  override createConnection(_options: RequestOptions, callback?: (error: Error | null, stream: Duplex) => void) {
    const fail = (error: Error) => callback?.(error, undefined as unknown as Duplex)
    const connect = httpRequest({
      host: '127.0.0.1',
      port: this.#port,
      method: 'CONNECT',
      path: `${HOST}:443`,
      agent: false,
    })
    connect.once('connect', ({ statusCode }, socket) => {
      if (statusCode !== 200) return fail(new Error(`CONNECT was answered ${statusCode}`))
      const secured = connectTls({ socket, servername: HOST, ca: this.#ca })
      secured.once('error', fail).once('secureConnect', () => {
        secured.off('error', fail)
        callback?.(null, secured)
      })
    })
    connect.once('error', fail).end()
    return undefined
  }
}

async function runRounds(
  contestants: readonly Contestant[],
  rounds: number,
  roundMs: number,
): Promise<Map<string, Round[]>> {
  const found = new Map(contestants.map(({ name }): [string, Round[]] => [name, []]))
  for (const { agent } of contestants) await warmUp(agent)
  for (let round = 0; round < rounds; round++) {
    for (const contestant of contestants) found.get(contestant.name)?.push(await runRound(contestant, roundMs))
  }
  return found
}

/** Makes the connections and lets the code be compiled before anything is measured: as many requests as it takes. */
async function warmUp(agent: Agent): Promise<void> {
  const runOneByOne = async () => {
    for (let index = 0; index < WARM_UP_REQUESTS / CONNECTIONS; index++) await get(agent)
  }
  await Promise.all(Array.from({ length: CONNECTIONS }, runOneByOne))
}

/** Requests begin on the clock, not when the one before has ended: a slow proxy does not get fewer. */
async function runRound({ pid, agent }: Contestant, roundMs: number): Promise<Round> {
  const count = Math.round((REQUESTS_PER_SECOND * roundMs) / 1_000)
  const [cpuBefore, start] = [cpuMicroseconds(pid), performance.now()]
  const latenciesMs: number[] = []
  let failures = 0
  const running: Promise<void>[] = []
  for (let index = 0; index < count; index++) {
    const waitMs = start + (index * 1_000) / REQUESTS_PER_SECOND - performance.now()
    if (waitMs > 1) await delay(waitMs)
    const begun = performance.now()
    running.push(
      get(agent).then(
        () => void latenciesMs.push(performance.now() - begun),
        () => void failures++,
      ),
    )
  }
  await Promise.all(running)
  const seconds = (performance.now() - start) / 1_000
  const cpuMs = (cpuMicroseconds(pid) - cpuBefore) / 1_000
  return { perSecond: latenciesMs.length / seconds, cpuMs, latenciesMs, failures }
}

function get(agent: Agent): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = httpsRequest({ agent, host: HOST, path: '/v1/models' }, (response) => {
      response.once('error', reject).once('end', () => {
        if (response.statusCode === 200) resolve()
        else reject(new Error(`answered ${response.statusCode}`))
      })
      response.resume()
    })
    request.once('error', reject).end()
  })
}

function summarize(found: ReadonlyMap<string, readonly Round[]>): Results {
  const figures = new Map(Array.from(found, ([name, rounds]) => [name, figuresOf(rounds)]))
  const [own, other] = [figures.get('gateway'), figures.get('mitmproxy')]
  const goals: Goal[] = []
  if (own !== undefined) {
    const ratio = rounded(own.perSecond / REQUESTS_PER_SECOND)
    goals.push({ title: `gateway serves so much of ${REQUESTS_PER_SECOND} requests/s`, ratio, atLeast: 0.98 })
    goals.push({ title: 'failed requests of the gateway', ratio: own.failures, atMost: 0 })
  }
  if (own !== undefined && other !== undefined) {
    const ratio = rounded(own.cpuMsPerRequest / other.cpuMsPerRequest)
    goals.push({ title: "CPU of a request at the gateway as a part of mitmproxy's", ratio, atMost: 1 })
  }
  const rows = Array.from(figures, ([name, each]) => createRow(name, each))
  return { rows, goals }
}

function figuresOf(rounds: readonly Round[]) {
  const latencies = rounds.flatMap(({ latenciesMs }) => latenciesMs)
  return {
    perSecond: median(rounds.map(({ perSecond }) => perSecond)),
    cpuMsPerRequest: median(rounds.map(({ cpuMs, latenciesMs }) => cpuMs / latenciesMs.length)),
    medianMs: median(latencies),
    p99Ms: percentile(latencies, 0.99),
    failures: rounds.reduce((sum, { failures }) => sum + failures, 0),
  }
}

function createRow(name: string, figures: ReturnType<typeof figuresOf>): Row {
  return {
    proxy: name,
    'requests/s': rounded(figures.perSecond),
    'CPU ms/request': rounded(figures.cpuMsPerRequest),
    'median ms': rounded(figures.medianMs),
    'p99 ms': rounded(figures.p99Ms),
    failed: figures.failures,
  }
}
