// The process of the bystander: it asks through its tunnel and without one at the same moment, again and again. A program: start it
// with fork() and send it what it needs; at 'pause' it sends what it saw so far, at 'watch' it goes on.

import { readdirSync, readFileSync } from 'node:fs'
import { connect as connectTcp } from 'node:net'
import type { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { Http1Client } from '../http1-client.js'
import { type Credentials, connect, startTls } from '../wire-client.js'

export interface BystanderSetup {
  readonly tunnelUrl: string
  readonly credentials: Credentials
  readonly host: string
  readonly gatewayPid: number
  readonly serverPid: number
  readonly gatewayCa: string
  /** The same server as that after the gateway, asked without it. */
  readonly controlPid: number
  readonly controlPort: number
  readonly controlCa: string
}

export interface BystanderReport {
  readonly answers: number
  /** What an answer through the gateway took longer than one without, each less what the machine added. */
  readonly maxExcessMs: number
  readonly p99ExcessMs: number
  readonly p99Ms: number
  readonly p99ControlMs: number
  /** What ended it before it was asked to end. */
  readonly failure?: string
}

const PAUSE_MS = 10

/** How long one answer took. */
interface Timing {
  readonly ms: number
  /** For how long of that a process on its way was ready to run and had no core: what a busy machine adds. */
  readonly starvedMs: number
}

interface Sample {
  readonly gateway: Timing
  readonly control: Timing
}

/** Asks whenever it is let, and keeps what it saw. */
class Bystander {
  readonly #setup: BystanderSetup
  readonly #samples: Sample[] = []
  #clients: readonly [tunnel: Http1Client<Duplex>, control: Http1Client<Duplex>] | undefined
  #isPaused = false
  #watching: Promise<string | undefined> = Promise.resolve(undefined)

  constructor(setup: BystanderSetup) {
    this.#setup = setup
  }

  watch(): void {
    this.#isPaused = false
    this.#watching = this.#watch().then(
      () => undefined,
      (error: Error) => `${error.stack}`,
    )
  }

  async pause(): Promise<BystanderReport> {
    this.#isPaused = true
    return report(this.#samples, await this.#watching)
  }

  async #watch(): Promise<void> {
    const { host, gatewayPid, serverPid, controlPid } = this.#setup
    const request = `GET /bystander HTTP/1.1\r\nHost: ${host}\r\n\r\n`
    // The connections stay the same all along.
    this.#clients ??= await Promise.all([openTunnel(this.#setup), openControl(this.#setup)])
    const [tunnel, control] = this.#clients
    while (!this.#isPaused) {
      const [gatewayTiming, controlTiming] = await Promise.all([
        time(tunnel, request, [process.pid, gatewayPid, serverPid]),
        time(control, request, [process.pid, controlPid]),
      ])
      this.#samples.push({ gateway: gatewayTiming, control: controlTiming })
      await sleep(PAUSE_MS)
    }
  }
}

async function openTunnel({ tunnelUrl, credentials, host, gatewayCa }: BystanderSetup): Promise<Http1Client<Duplex>> {
  const { stream, status } = await connect(tunnelUrl, credentials, `${host}:443`)
  if (status !== 200) throw new Error(`CONNECT was answered ${status}`)
  return new Http1Client(stream, await startTls(stream, gatewayCa, host))
}

async function openControl({ controlPort, controlCa, host }: BystanderSetup): Promise<Http1Client<Duplex>> {
  const socket = connectTcp(controlPort, '127.0.0.1').setNoDelay(true)
  return new Http1Client(socket, await startTls(socket, controlCa, host))
}

async function time(client: Http1Client<Duplex>, request: string, pids: readonly number[]): Promise<Timing> {
  const starvedBefore = starvedMs(pids)
  const start = performance.now()
  const { status, body } = await client.ask(request)
  if (status !== 200 || body !== 'plain') throw new Error(`the answer was ${status} ${body}`)
  return { ms: performance.now() - start, starvedMs: starvedMs(pids) - starvedBefore }
}

/** Linux, Documentation/scheduler/sched-stats.rst: how long the threads of processes waited for a core, all of them that there were. */
function starvedMs(pids: readonly number[]): number {
  const threads = pids.flatMap((pid) =>
    readdirSync(`/proc/${pid}/task`).map((id) => `/proc/${pid}/task/${id}/schedstat`),
  )
  return threads.reduce((sum, file) => sum + Number(readFileSync(file, 'latin1').split(' ')[1]) / 1e6, 0)
}

function report(samples: readonly Sample[], failure: string | undefined): BystanderReport {
  const ownMs = ({ ms, starvedMs }: Timing) => Math.max(0, ms - starvedMs)
  const excess = samples.map(({ gateway, control }) => ownMs(gateway) - ownMs(control))
  return {
    answers: samples.length,
    maxExcessMs: Math.max(...excess),
    p99ExcessMs: percentile99(excess),
    p99Ms: percentile99(samples.map(({ gateway }) => gateway.ms)),
    p99ControlMs: percentile99(samples.map(({ control }) => control.ms)),
    ...(failure !== undefined && { failure }),
  }
}

function percentile99(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length * 0.99)] ?? Number.NaN
}

process.once('message', (setup: BystanderSetup) => {
  const bystander = new Bystander(setup)
  bystander.watch()
  process.on('message', async (order: 'watch' | 'pause') => {
    if (order === 'watch') bystander.watch()
    else process.send?.(await bystander.pause())
  })
})
