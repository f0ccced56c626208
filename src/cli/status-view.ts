// A relay's status as lines for people, for `status` and `top`. Pure.

import { estimateQuantileMs, type HistogramCounts } from '../relay/histogram.js'
import type { HostStatus, RelayStatus } from '../relay/status.js'

/** How it is shown. */
export interface ViewOptions {
  /** No line is longer. */
  readonly columns: number
  /** Lines at most; hosts that find no room are counted. All unless given. */
  readonly rows?: number
  readonly hasColour: boolean
  /** An earlier report: rates are shown from there to here. */
  readonly since?: RelayStatus
}

const BOLD = '1'
const RED = '31'
const STAGES = [
  ['dial', 'dial'],
  ['connect', 'connect'],
  ['first byte', 'firstByte'],
  ['whole tunnel', 'age'],
] as const

/** The lines of a report. */
export function formatStatus(status: RelayStatus, options: ViewOptions): string[] {
  const paint = (style: string, text: string): string => (options.hasColour ? `\x1b[${style}m${text}\x1b[0m` : text)
  const heading = (line: string): string => paint(BOLD, fit(line, options.columns))
  const upper = [
    heading(describeRelay(status)),
    '',
    ...describeFigures(status, options, paint),
    '',
    heading(row(['latency', 'count', 'mean', 'p50', 'p95'], LATENCY_WIDTHS)),
    ...STAGES.map(([name, stage]) => fit(describeLatency(name, status.statistics.latencies[stage]), options.columns)),
    '',
  ]
  const room = options.rows === undefined ? Number.POSITIVE_INFINITY : options.rows - upper.length
  return [...upper, ...formatHosts(status, options.columns, room, heading)].slice(0, options.rows)
}

function describeRelay({ state, port, pid, uptimeMs }: RelayStatus): string {
  return `ccr-upstream-proxy ${state} on 127.0.0.1:${port} · pid ${pid} · up ${formatDuration(uptimeMs)}`
}

function describeFigures(
  { statistics, uptimeMs, isGatewaySilent }: RelayStatus,
  { columns, since }: ViewOptions,
  paint: (style: string, text: string) => string,
): string[] {
  const { tunnels, bypassed, warm, tunnelLog } = statistics
  const refused = byCount(tunnels.refused)
  if (tunnels.refusedByGateway > 0) refused.unshift(`${formatCount(tunnels.refusedByGateway)} by the gateway`)
  const broken = byCount(tunnels.broken)
  const resting = warm.isResting ? ['resting'] : []
  const lines = (name: string, facts: readonly string[]): string[] => wrap(name, facts, columns)
  const alarming = (name: string, facts: readonly string[]): string[] =>
    facts.length === 0 ? lines(name, ['none']) : lines(name, facts).map((line) => paint(RED, line))
  return [
    ...(isGatewaySilent ? alarming('gateway', ['silent', 'its CA has not come yet']) : []),
    ...lines('tunnels', [
      `${formatCount(tunnels.open)} open`,
      `${formatCount(tunnels.accepted)} accepted`,
      `${formatCount(tunnels.established)} established`,
      `${formatCount(bypassed.established)} past the gateway`,
    ]),
    ...lines('bytes', describeTraffic(statistics, formatBytes)),
    ...(since === undefined ? [] : lines('rate', describeRates({ statistics, uptimeMs }, since))),
    ...lines('warm', [...tally(warm, ['ready', 'used', 'missed', 'lost']), ...resting]),
    ...alarming('refused', refused),
    ...alarming('broken', broken),
    ...(tunnelLog === undefined ? [] : lines('log', tally(tunnelLog, ['written', 'lost']))),
  ]
}

function tally<Name extends string>(counts: Readonly<Record<Name, number>>, names: readonly Name[]): string[] {
  return names.map((name) => `${formatCount(counts[name])} ${name}`)
}

/** Both routes: a tunnel is a tunnel to who looks at it. */
function trafficOf({ bytesUp, bytesDown, bypassed }: RelayStatus['statistics']): { up: number; down: number } {
  return { up: bytesUp + bypassed.bytesUp, down: bytesDown + bypassed.bytesDown }
}

function describeTraffic(statistics: RelayStatus['statistics'], format: (bytes: number) => string): string[] {
  const { up, down } = trafficOf(statistics)
  return [`${format(up)} up`, `${format(down)} down`]
}

function describeRates(now: Pick<RelayStatus, 'statistics' | 'uptimeMs'>, since: RelayStatus): string[] {
  const seconds = Math.max((now.uptimeMs - since.uptimeMs) / 1_000, 0.001)
  const [after, before] = [trafficOf(now.statistics), trafficOf(since.statistics)]
  const tunnels = now.statistics.tunnels.accepted - since.statistics.tunnels.accepted
  return [
    `${formatBytes((after.up - before.up) / seconds)}/s up`,
    `${formatBytes((after.down - before.down) / seconds)}/s down`,
    `${(tunnels / seconds).toFixed(1)} tunnels/s`,
  ]
}

function byCount(counts: Readonly<Record<string, number>>): string[] {
  return Object.entries(counts)
    .sort(([, one], [, other]) => other - one)
    .map(([code, count]) => `${formatCount(count)} ${code}`)
}

// -- Tables ----------------------------------------------------------------------------------------------------------------

const LATENCY_WIDTHS = [12, 12, 12, 12, 12]

function describeLatency(name: string, histogram: HistogramCounts): string {
  const { count, sumMs } = histogram
  const times = [count === 0 ? undefined : sumMs / count, ...[0.5, 0.95].map((q) => estimateQuantileMs(histogram, q))]
  const cells = times.map((ms) => (ms === undefined ? '–' : formatDuration(ms)))
  return row([name, formatCount(count), ...cells], LATENCY_WIDTHS)
}

function formatHosts(
  { hosts }: RelayStatus,
  columns: number,
  room: number,
  heading: (line: string) => string,
): string[] {
  // The four figures take 45; a name that is longer than what is left is cut off.
  const widths = [Math.max(columns - 45, 10), 7, 13, 13, 12]
  const line = ({ host, open, bytesUp, bytesDown, oldestMs }: HostStatus): string => {
    const figures = [formatCount(open), formatBytes(bytesUp), formatBytes(bytesDown), formatDuration(oldestMs)]
    return fit(row([fit(host, (widths[0] as number) - 1), ...figures], widths), columns)
  }
  if (hosts.length === 0) return ['no open tunnels']
  const shown = hosts.length + 1 <= room ? hosts : hosts.slice(0, Math.max(room - 2, 0))
  return [
    heading(row(['host', 'open', 'up', 'down', 'oldest'], widths)),
    ...shown.map(line),
    ...(shown.length === hosts.length ? [] : [`and ${formatCount(hosts.length - shown.length)} more`]),
  ]
}

/** The first cell to the left, the others to the right. */
function row(cells: readonly string[], widths: readonly number[]): string {
  return cells.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))).join('')
}

const NAME_WIDTH = 10

/** `facts` behind `name`, on as many lines as they need. */
function wrap(name: string, facts: readonly string[], columns: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const fact of facts) {
    const longer = line === '' ? fact : `${line} · ${fact}`
    if (line !== '' && longer.length > columns - NAME_WIDTH) {
      lines.push(line)
      line = fact
    } else line = longer
  }
  return [...lines, line].map((text, at) => fit(`${(at === 0 ? name : '').padEnd(NAME_WIDTH)}${text}`, columns))
}

function fit(line: string, columns: number): string {
  return line.length <= columns ? line : `${line.slice(0, columns - 1)}…`
}

// -- Figures ---------------------------------------------------------------------------------------------------------------

export function formatCount(count: number): string {
  return count.toLocaleString('en-US')
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  // Not 1,024: what would be rounded up to it has the next unit.
  while (value >= 1_023.95 && unit < UNITS.length - 1) {
    value /= 1_024
    unit++
  }
  return `${unit === 0 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`
}

export function formatDuration(ms: number): string {
  if (ms < 9.95) return `${ms.toFixed(1)} ms`
  if (ms < 999.5) return `${Math.round(ms)} ms`
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`
  const minutes = Math.floor(ms / 60_000)
  if (minutes < 60) return `${minutes} m ${Math.floor((ms % 60_000) / 1_000)} s`
  const hours = Math.floor(minutes / 60)
  if (hours < 48) return `${hours} h ${minutes % 60} m`
  return `${Math.floor(hours / 24)} d ${hours % 24} h`
}
