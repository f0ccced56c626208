// A program that starts the proxy several times: starts-host.js PACKAGE-URL PLAN. It says what came of each start in one line,
// and stays until its standard input ends. It imports nothing of the tests, for it may run from a copy.

import cluster from 'node:cluster'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'

/** What the program is to do. */
export interface StartsPlan {
  /** The token file of each start. */
  readonly tokenFiles: readonly string[]
  /**
   * `together`: all in one turn of one thread; `in-cluster`: the same in a worker of node:cluster; `in-workers`: each in a thread of
   * the program's; `in-turn`: one after the other, each closed again.
   */
  readonly how: 'together' | 'in-cluster' | 'in-workers' | 'in-turn'
  readonly thread: 'worker' | 'main'
  /** Where the package lies for a second time: every other start is of that copy. */
  readonly otherPackageUrl?: string
  /** When the program makes its process dumpable itself: right after the hardening, or when the CA is asked for. */
  readonly opens?: 'at-once' | 'with-ca'
  /** What is then given as the CA, PEM. */
  readonly ca?: string
}

/** What it says. */
export interface StartsReport {
  /** Of each start: `on`, or the code. */
  readonly outcomes: readonly string[]
  /** For SIGUSR1. */
  readonly listeners: number
  /** Of the process that has started them. */
  readonly pid: number
}

type Init = typeof import('ccr-upstream-proxy')['initUpstreamProxy']

const packageUrl = process.argv[2] ?? ''
const plan = JSON.parse(process.argv[3] ?? '{}') as StartsPlan

async function initOf(index: number): Promise<Init> {
  const url = index % 2 === 1 ? (plan.otherPackageUrl ?? packageUrl) : packageUrl
  return ((await import(url)) as { initUpstreamProxy: Init }).initUpstreamProxy
}

/** `on`, or the code. */
async function start(init: Init, index: number, variables: NodeJS.ProcessEnv = {}): Promise<string> {
  const environment = Object.defineProperties(
    { ...process.env, CCR_SESSION_TOKEN_PATH: plan.tokenFiles[index] },
    Object.getOwnPropertyDescriptors(variables),
  )
  const proxy = await init({ environment, thread: plan.thread })
  if (plan.how === 'in-turn') await proxy.close(0)
  return proxy.enabled ? 'on' : proxy.code
}

async function makeDumpable(): Promise<void> {
  const { loadAddon } = (await import(new URL('addon.js', packageUrl).href)) as typeof import('#src/addon.js')
  loadAddon().addon?.setDumpable(1)
}

/** It is asked for after the token is read, and before its file goes. */
async function serveCa(): Promise<string> {
  const server = createServer(async (_request, response) => {
    await makeDumpable()
    response.end(plan.ca)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function startTogether(): Promise<string[]> {
  const inits = await Promise.all(plan.tokenFiles.map((_, index) => initOf(index)))
  const starts = inits.map((init, index) => start(init, index))
  if (plan.opens === 'at-once') await makeDumpable()
  return Promise.all(starts)
}

async function startInTurn(): Promise<string[]> {
  const variables = plan.opens === 'with-ca' ? { CCR_UPSTREAM_PROXY_URL: await serveCa() } : {}
  const outcomes: string[] = []
  for (const index of plan.tokenFiles.keys()) outcomes.push(await start(await initOf(index), index, variables))
  return outcomes
}

/** What a worker is given: which start is its own, and for the first one what it waits for. */
interface Turn {
  readonly index: number
  readonly gate?: Int32Array
}

/** The first one hardens before the others and ends after them: what it undid would be undone for all. */
async function startInWorkers(): Promise<string[]> {
  const gate = new Int32Array(new SharedArrayBuffer(4))
  const workers = plan.tokenFiles.map((_, index) => {
    const turn: Turn = { index, ...(index === 0 && { gate }) }
    return new Worker(new URL(import.meta.url), { argv: process.argv.slice(2), workerData: turn })
  })
  const nextOf = (worker: Worker): Promise<string> => new Promise((resolve) => worker.once('message', resolve))
  const outcomeOf = (worker: Worker): Promise<string> => {
    worker.postMessage('go')
    return nextOf(worker)
  }
  await Promise.all(workers.map(nextOf))
  const [first, ...others] = workers as [Worker, ...Worker[]]
  await outcomeOf(first)
  const outcomes = await Promise.all(others.map(outcomeOf))
  const last = nextOf(first)
  Atomics.store(gate, 0, 1)
  Atomics.notify(gate, 0)
  return [await last, ...outcomes]
}

async function runAsWorker({ index, gate }: Turn): Promise<void> {
  const init = await initOf(index)
  // It is read after the hardening.
  const variables =
    gate === undefined
      ? {}
      : {
          get HTTPS_PROXY(): undefined {
            return waitAt(gate)
          },
        }
  parentPort?.on('message', async () => parentPort?.postMessage(await start(init, index, variables)))
  parentPort?.postMessage('ready')
}

function waitAt(gate: Int32Array): undefined {
  if (Atomics.load(gate, 0) === 1) return
  parentPort?.postMessage('hardened')
  Atomics.wait(gate, 0, 0)
}

async function runAsProgram(): Promise<void> {
  if (plan.how === 'in-cluster' && cluster.isPrimary) {
    cluster.fork().once('exit', () => process.exit())
    return
  }
  const ways = {
    together: startTogether,
    'in-cluster': startTogether,
    'in-turn': startInTurn,
    'in-workers': startInWorkers,
  }
  const outcomes = await ways[plan.how]()
  const report: StartsReport = { outcomes, listeners: process.listenerCount('SIGUSR1'), pid: process.pid }
  process.stdout.write(`${JSON.stringify(report)}\n`)
  process.stdin.resume().once('end', () => process.exit())
}

await (isMainThread ? runAsProgram() : runAsWorker(workerData as Turn))
