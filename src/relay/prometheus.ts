// stats() in the text form that Prometheus scrapes: https://prometheus.io/docs/instrumenting/exposition_formats/. Pure; serving
// it is the program's own matter, for the relay listens to nobody but its clients.

import type { HistogramCounts } from './histogram.js'
import type { RelayStatistics } from './monitor.js'

/** The content type of the text. */
export const PROMETHEUS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

const PREFIX = 'ccr_upstream_proxy_'

/** One line: its labels and its value. */
type Sample = readonly [labels: Readonly<Record<string, string>>, value: number]

/**
 * `statistics` as text, a family of metrics for each figure. Units are bytes and seconds, labels `route` (`gateway`, `bypass`),
 * `direction` (`up`, `down`) and `code`, one of the error codes.
 */
export function formatPrometheus(statistics: RelayStatistics): string {
  const { tunnels, bypassed, bytesUp, bytesDown, warm, latencies, tunnelLog } = statistics
  return [
    family('tunnels_open', 'gauge', 'Tunnels that are open, those included whose CONNECT is not answered yet.', [
      [{}, tunnels.open],
    ]),
    family('tunnels_accepted_total', 'counter', 'Clients that connected.', [[{}, tunnels.accepted]]),
    family('tunnels_established_total', 'counter', 'Tunnels that were opened to their target.', [
      [{ route: 'gateway' }, tunnels.established],
      [{ route: 'bypass' }, bypassed.established],
    ]),
    family(
      'refusals_total',
      'counter',
      'Clients that the relay itself refused, by error code.',
      byCode(tunnels.refused),
    ),
    family('gateway_refusals_total', 'counter', 'Tunnels that the gateway answered with something other than 200.', [
      [{}, tunnels.refusedByGateway],
    ]),
    family('tunnels_broken_total', 'counter', 'Tunnels that broke when they were open.', byCode(tunnels.broken)),
    family('bytes_total', 'counter', 'Payload bytes from clients (up) and to them (down).', [
      [{ route: 'gateway', direction: 'up' }, bytesUp],
      [{ route: 'gateway', direction: 'down' }, bytesDown],
      [{ route: 'bypass', direction: 'up' }, bypassed.bytesUp],
      [{ route: 'bypass', direction: 'down' }, bypassed.bytesDown],
    ]),
    family('warm_ready', 'gauge', 'WebSockets that are open and not in use.', [[{}, warm.ready]]),
    family('warm_resting', 'gauge', '1 while no WebSockets are opened ahead.', [[{}, warm.isResting ? 1 : 0]]),
    family('warm_used_total', 'counter', 'CONNECTs that got a WebSocket that was open.', [[{}, warm.used]]),
    family('warm_missed_total', 'counter', 'CONNECTs that found none.', [[{}, warm.missed]]),
    family('warm_lost_total', 'counter', 'WebSockets that ended before they were used.', [[{}, warm.lost]]),
    tunnelLog === undefined
      ? ''
      : family('tunnel_log_lines_total', 'counter', 'Lines of the tunnel log that were written, and lost.', [
          [{ result: 'written' }, tunnelLog.written],
          [{ result: 'lost' }, tunnelLog.lost],
        ]),
    histogram('dial_seconds', 'DNS, TCP, TLS and upgrade of WebSockets that a client waited for.', latencies.dial),
    histogram('connect_seconds', "From the CONNECT to the gateway's answer.", latencies.connect),
    histogram('first_byte_seconds', "From a 200 to the target's first bytes.", latencies.firstByte),
    histogram('tunnel_age_seconds', 'Age of established tunnels at their end.', latencies.age),
  ].join('')
}

function byCode(counts: Readonly<Record<string, number>>): Sample[] {
  return Object.entries(counts).map(([code, count]) => [{ code }, count])
}

function family(name: string, type: 'counter' | 'gauge', help: string, samples: readonly Sample[]): string {
  return `${heading(name, type, help)}${samples.map(([labels, value]) => line(name, labels, value)).join('')}`
}

function histogram(name: string, help: string, { boundsMs, counts, count, sumMs }: HistogramCounts): string {
  let upTo = 0
  const buckets = boundsMs.map((boundMs, bucket) => {
    upTo += counts[bucket] as number
    return line(`${name}_bucket`, { le: `${boundMs / 1_000}` }, upTo)
  })
  return [
    heading(name, 'histogram', help),
    ...buckets,
    line(`${name}_bucket`, { le: '+Inf' }, count),
    line(`${name}_sum`, {}, sumMs / 1_000),
    line(`${name}_count`, {}, count),
  ].join('')
}

function heading(name: string, type: string, help: string): string {
  return `# HELP ${PREFIX}${name} ${help}\n# TYPE ${PREFIX}${name} ${type}\n`
}

/** Label values are of our own making: none needs an escape. */
function line(name: string, labels: Readonly<Record<string, string>>, value: number): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${text}"`)
  return `${PREFIX}${name}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${value}\n`
}
