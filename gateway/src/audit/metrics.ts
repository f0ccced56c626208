// What Prometheus is told. Labels are closed lists: never a host, a path, a session or anything else that somebody outside
// chooses, for these have no bound and may be secret.

import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { RefusalCode } from '../refusal.js'
import type { AuditRecord } from './audit-record.js'

/** What is read at the moment of a scrape. */
export interface MetricsSources {
  readonly openTunnels: () => number
  readonly waitingWebSockets: () => number
  readonly lostAuditLines: () => number
}

/** From a local file to a model that thinks for two minutes. */
const DURATION_BUCKETS_SECONDS = [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 120, 300]

export class Metrics {
  readonly #registry = new Registry()
  readonly #requests: Counter<'status'>
  readonly #durations: Histogram
  readonly #tunnels: Counter<'mode'>
  readonly #refusals: Counter<'code'>
  readonly #errors: Counter<'code'>
  readonly #bytes: Counter<'direction'>
  readonly #reloads: Counter<'outcome'>

  constructor({ openTunnels, waitingWebSockets, lostAuditLines }: MetricsSources) {
    const registers = [this.#registry]
    collectDefaultMetrics({ register: this.#registry })
    this.#requests = new Counter({
      name: 'ccr_gateway_requests_total',
      help: 'Intercepted requests by class of the status that the client got (none: it got no answer).',
      labelNames: ['status'],
      registers,
    })
    this.#durations = new Histogram({
      name: 'ccr_gateway_request_duration_seconds',
      help: 'From the head of an intercepted request to the end of its answer.',
      buckets: DURATION_BUCKETS_SECONDS,
      registers,
    })
    this.#tunnels = new Counter({
      name: 'ccr_gateway_tunnels_total',
      help: 'Tunnels that ended, by what became of them. Intercepted ones are counted by their requests.',
      labelNames: ['mode'],
      registers,
    })
    this.#refusals = new Counter({
      name: 'ccr_gateway_refusals_total',
      help: 'Refusals by code: of upgrades, of CONNECTs and of intercepted requests.',
      labelNames: ['code'],
      registers,
    })
    this.#errors = new Counter({
      name: 'ccr_gateway_errors_total',
      help: 'Requests and tunnels that ended early, by audit code.',
      labelNames: ['code'],
      registers,
    })
    this.#bytes = new Counter({
      name: 'ccr_gateway_bytes_total',
      help: 'Bytes of bodies and of untouched tunnels. Up is towards the origin.',
      labelNames: ['direction'],
      registers,
    })
    this.#reloads = new Counter({
      name: 'ccr_gateway_reloads_total',
      help: 'Reloads of the config by outcome.',
      labelNames: ['outcome'],
      registers,
    })
    gaugeOf(this.#registry, 'ccr_gateway_open_tunnels', 'Tunnels open now, from their CONNECT on.', openTunnels)
    gaugeOf(this.#registry, 'ccr_gateway_waiting_websockets', 'WebSockets that wait for a CONNECT.', waitingWebSockets)
    gaugeOf(this.#registry, 'ccr_gateway_audit_lines_lost', 'Audit lines lost since the start.', lostAuditLines)
  }

  observe(record: AuditRecord): void {
    if (record.mode === 'refused') {
      this.#tunnels.inc({ mode: 'refused' })
      this.#refusals.inc({ code: record.code })
      return
    }
    if (record.error !== undefined) this.#errors.inc({ code: record.error })
    if (record.mode === 'tunnel') {
      this.#tunnels.inc({ mode: 'tunnel' })
      this.#count(record.bytesUp, record.bytesDown)
      return
    }
    this.#requests.inc({ status: record.status === 0 ? 'none' : `${Math.floor(record.status / 100)}xx` })
    this.#durations.observe(record.ms / 1_000)
    this.#count(record.requestBytes, record.responseBytes)
  }

  observeRefusedUpgrade(code: RefusalCode): void {
    this.#refusals.inc({ code })
  }

  observeReload(outcome: 'success' | 'failure'): void {
    this.#reloads.inc({ outcome })
  }

  /** The text of the exposition format, and its media type. */
  async expose(): Promise<{ readonly contentType: string; readonly text: string }> {
    return { contentType: this.#registry.contentType, text: await this.#registry.metrics() }
  }

  #count(up: number, down: number): void {
    this.#bytes.inc({ direction: 'up' }, up)
    this.#bytes.inc({ direction: 'down' }, down)
  }
}

function gaugeOf(registry: Registry, name: string, help: string, read: () => number): void {
  new Gauge({
    name,
    help,
    registers: [registry],
    collect() {
      this.set(read())
    },
  })
}
