// Where a scenario takes place: a gateway, a load generator and the relays between them, each a process, with TLS to the gateway
// under a CA of its own. And how it is measured: what the relay's process used of the CPU, and whether the others kept up.

import { rootCertificates } from 'node:tls'
import { createCertificateAuthority, issueServerCertificate } from 'ccr-upstream-gateway'
import { type Field, findContestants, type RunningRelay } from './contestants.js'
import { ServedProcess } from './processes/served-process.js'
import { cpuMicroseconds } from './processes/usage.js'

export interface StageOptions {
  /** Names of contestants.ts. */
  readonly contestants: readonly string[]
  /** Some 200 KB of certificates that the relays trust besides the gateway's: a system's bundle. */
  readonly hasBundle?: boolean
  /** The link from the relays to the gateway has a round-trip time. */
  readonly roundTripMs?: number
}

/** CPU time and wall time of one measured action. */
export interface Usage {
  readonly relayCpuMs: number
  readonly wallMs: number
  /** The process that was busy all the time while the relay was not; undefined when the relay itself set the pace. */
  readonly bottleneck: 'gateway' | 'generator' | undefined
}

/** Of one core. Above it a process is what all others wait for. */
const BUSY_SHARE = 0.9

export class Stage implements AsyncDisposable {
  readonly gateway: ServedProcess
  readonly generator: ServedProcess
  readonly relays: readonly RunningRelay[]
  readonly notes: readonly string[]
  /** PEM of the root over the gateway. */
  readonly rootPem: string
  readonly gatewayPort: number
  /** The link's, measured; NaN without a link. */
  readonly roundTripMs: number
  readonly #link: ServedProcess | undefined

  private constructor(parts: StageParts, relays: readonly RunningRelay[]) {
    this.gateway = parts.gateway
    this.generator = parts.generator
    this.#link = parts.link
    this.rootPem = parts.rootPem
    this.gatewayPort = parts.gatewayPort
    this.roundTripMs = parts.roundTripMs
    this.notes = parts.field.notes
    this.relays = relays
  }

  static async open(options: StageOptions): Promise<Stage> {
    const parts = await startParts(options)
    const trustedCertificates = [parts.rootPem, ...(options.hasBundle ? rootCertificates : [])].join('\n')
    const settings = { gatewayPort: parts.relayTo, trustedCertificates }
    const relays: RunningRelay[] = []
    const stage = new Stage(parts, relays)
    try {
      for (const contestant of parts.field.contestants) relays.push(await contestant.start(settings))
    } catch (error) {
      await stage[Symbol.asyncDispose]()
      throw error
    }
    return stage
  }

  /** Opens `count` tunnels through `relay` to `target`, and keeps them until release(). */
  openTunnels(relay: RunningRelay, target: string, count: number, concurrency = 16): Promise<void> {
    return this.generator.ask('open', { port: relay.port, target: `${target}.bench`, count, concurrency })
  }

  release(): Promise<void> {
    return this.generator.ask('release')
  }

  /** Whole lives of tunnels; milliseconds to the 200 of each. */
  liveTunnels(relay: RunningRelay, count: number, concurrency: number): Promise<number[]> {
    return this.generator.ask('lives', { port: relay.port, target: 'once.bench', count, concurrency })
  }

  async measure(relay: RunningRelay, action: () => Promise<unknown>): Promise<Usage> {
    const pids = [relay.pid, this.gateway.pid, this.generator.pid]
    const before = pids.map(cpuMicroseconds)
    const startedAt = performance.now()
    await action()
    const wallMs = performance.now() - startedAt
    const [relayCpuMs = 0, gateway = 0, generator = 0] = pids.map(
      (pid, index) => (cpuMicroseconds(pid) - (before[index] ?? 0)) / 1_000,
    )
    const isBusy = (cpuMs: number): boolean => cpuMs > wallMs * BUSY_SHARE
    const waitedFor = isBusy(gateway) ? 'gateway' : isBusy(generator) ? 'generator' : undefined
    return { relayCpuMs, wallMs, bottleneck: isBusy(relayCpuMs) ? undefined : waitedFor }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const relay of this.relays) await relay.stop()
    for (const part of [this.generator, this.#link, this.gateway]) await part?.[Symbol.asyncDispose]()
  }
}

interface StageParts {
  readonly gateway: ServedProcess
  readonly generator: ServedProcess
  readonly link: ServedProcess | undefined
  readonly rootPem: string
  readonly gatewayPort: number
  /** The gateway, or the link before it. */
  readonly relayTo: number
  readonly roundTripMs: number
  readonly field: Field
}

async function startParts({ contestants, roundTripMs }: StageOptions): Promise<StageParts> {
  const gateway = new ServedProcess('gateway-side.js')
  const generator = new ServedProcess('load-generator.js')
  const authority = await createCertificateAuthority({ commonName: 'root of the bench', days: 2 })
  const { certificatePem, privateKeyPem } = await issueServerCertificate(authority, ['127.0.0.1', 'gateway.bench'])
  const rootPem = authority.certificatePem
  const certificate = { cert: certificatePem, key: privateKeyPem, caPem: rootPem }
  const gatewayPort = await gateway.ask<number>('start', certificate)
  const field = findContestants(contestants)
  const common = { gateway, generator, rootPem, gatewayPort, field }
  if (roundTripMs === undefined) return { ...common, link: undefined, relayTo: gatewayPort, roundTripMs: Number.NaN }
  const link = new ServedProcess('delayed-link.js')
  const measured = await link.ask<{ port: number; roundTripMs: number }>('start', { gatewayPort, roundTripMs })
  return { ...common, link, relayTo: measured.port, roundTripMs: measured.roundTripMs }
}

/** Groups figures by a key, in order of appearance. */
export class Samples {
  readonly #values = new Map<string, number[]>()

  add(key: string, ...values: readonly number[]): void {
    this.#values.set(key, [...(this.#values.get(key) ?? []), ...values])
  }

  of(key: string): readonly number[] {
    return this.#values.get(key) ?? []
  }
}
