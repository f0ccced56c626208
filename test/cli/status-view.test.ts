// What people see of a relay's status: every line as it is, at 80 columns and at fewer.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatBytes, formatDuration, formatStatus } from '#src/cli/status-view.js'
import type { RelayStatus } from '#src/index.js'
import { AGE_BOUNDS_MS, Histogram, STAGE_BOUNDS_MS } from '#src/relay/histogram.js'

function histogram(boundsMs: readonly number[], ...times: number[]): ReturnType<Histogram['copy']> {
  const measured = new Histogram(boundsMs)
  for (const ms of times) measured.record(ms)
  return measured.copy()
}

const STATUS: RelayStatus = {
  version: 1,
  state: 'listening',
  pid: 4242,
  port: 40123,
  uptimeMs: 7_980_000,
  isGatewaySilent: false,
  statistics: {
    tunnels: {
      open: 12,
      accepted: 1_034,
      established: 1_020,
      refused: { 'method-not-allowed': 2, 'gateway-dns-failed': 11, 'gateway-answer-timeout': 1 },
      refusedByGateway: 3,
      broken: {},
    },
    bytesUp: 13_000_000,
    bytesDown: 1_288_490_188,
    bypassed: { established: 3, bytesUp: 0, bytesDown: 0 },
    latencies: {
      dial: histogram(STAGE_BOUNDS_MS, 80, 90),
      connect: histogram(STAGE_BOUNDS_MS, 20, 20, 20, 200),
      firstByte: histogram(STAGE_BOUNDS_MS),
      age: histogram(AGE_BOUNDS_MS, 70_000),
    },
    warm: { ready: 3, used: 900, missed: 120, lost: 2, isResting: true },
    tunnelLog: { written: 1_022, lost: 0 },
  },
  hosts: [
    { host: 'api.example.com', open: 7, bytesUp: 1_258_291, bytesDown: 314_572_800, oldestMs: 123_000 },
    { host: `${'long-'.repeat(12)}name.example`, open: 4, bytesUp: 0, bytesDown: 1_023, oldestMs: 5.04 },
    { host: '2001:db8::1', open: 1, bytesUp: 1_024, bytesDown: 5, oldestMs: 200_000_000 },
  ],
  tunnels: [],
}

const SCREEN = `\
ccr-upstream-proxy listening on 127.0.0.1:40123 · pid 4242 · up 2 h 13 m

tunnels   12 open · 1,034 accepted · 1,020 established · 3 past the gateway
bytes     12.4 MiB up · 1.2 GiB down
warm      3 ready · 900 used · 120 missed · 2 lost · resting
refused   3 by the gateway · 11 gateway-dns-failed · 2 method-not-allowed
          1 gateway-answer-timeout
broken    none
log       1,022 written · 0 lost

latency            count        mean         p50         p95
dial                   2       85 ms       75 ms       98 ms
connect                4       65 ms       20 ms      220 ms
first byte             0           –           –           –
whole tunnel           1    1 m 10 s     3 m 0 s    4 m 48 s

host                                  open           up         down      oldest
api.example.com                          7      1.2 MiB    300.0 MiB     2 m 3 s
long-long-long-long-long-long-lon…       4          0 B       1023 B      5.0 ms
2001:db8::1                              1      1.0 KiB          5 B     2 d 7 h`

const [RESET, BOLD, RED] = ['\x1b[0m', '\x1b[1m', '\x1b[31m'] as const

test('every figure has its line, and no line is longer than 80 columns', () => {
  const lines = formatStatus(STATUS, { columns: 80, hasColour: false })
  assert.equal(lines.join('\n'), SCREEN)
  for (const line of lines) assert.ok(line.length <= 80, line)
})

test('a narrow or a low screen is never overrun', () => {
  for (const columns of [20, 40, 79]) {
    for (const line of formatStatus(STATUS, { columns, hasColour: false })) assert.ok(line.length <= columns, line)
  }
  for (const rows of [1, 5, 16, 17, 18, 19]) {
    assert.equal(formatStatus(STATUS, { columns: 80, rows, hasColour: false }).length, rows)
  }
  const cut = formatStatus(STATUS, { columns: 80, rows: 19, hasColour: false })
  assert.deepEqual(cut.slice(-2), [SCREEN.split('\n')[17], 'and 2 more'])
})

test('colour is on whole lines, and nothing else differs', () => {
  const lines = formatStatus(STATUS, { columns: 80, hasColour: true }).join('\n')
  const plain = lines.replaceAll(RESET, '').replaceAll(BOLD, '').replaceAll(RED, '')
  assert.equal(plain, SCREEN)
  const coloured = lines.split('\n').filter((line) => line.startsWith(RED) && line.endsWith(RESET))
  assert.deepEqual(
    coloured.map((line) => line.slice(RED.length, -RESET.length)),
    SCREEN.split('\n').slice(5, 7),
  )
})

test('rates are what came between two reports, over the time between them', () => {
  const { statistics } = STATUS
  const earlier = {
    ...STATUS,
    uptimeMs: STATUS.uptimeMs - 2_000,
    statistics: {
      ...statistics,
      bytesUp: statistics.bytesUp - 4_096,
      bypassed: { ...statistics.bypassed, bytesDown: -2_048 },
      tunnels: { ...statistics.tunnels, accepted: 1_029 },
    },
  }
  const lines = formatStatus(STATUS, { columns: 80, hasColour: false, since: earlier })
  assert.equal(lines[4], 'rate      2.0 KiB/s up · 1.0 KiB/s down · 2.5 tunnels/s')
})

test('a relay without tunnels says so', () => {
  assert.equal(formatStatus({ ...STATUS, hosts: [] }, { columns: 80, hasColour: false }).at(-1), 'no open tunnels')
})

test('figures keep their width over every border of their units', () => {
  const bytes = [0, 1_023, 1_024, 1_048_524, 1_048_576, 1_023.94 * 1_048_576, 1_023.96 * 1_048_576]
  assert.deepEqual(bytes.map(formatBytes), [
    '0 B',
    '1023 B',
    '1.0 KiB',
    '1023.9 KiB',
    '1.0 MiB',
    '1023.9 MiB',
    '1.0 GiB',
  ])
  const times = [0, 9.94, 9.95, 999.4, 999.5, 59_949, 59_950, 3_599_999, 3_600_000, 172_799_999, 172_800_000]
  assert.deepEqual(times.map(formatDuration), [
    '0.0 ms',
    '9.9 ms',
    '10 ms',
    '999 ms',
    '1.0 s',
    '59.9 s',
    '60.0 s',
    '59 m 59 s',
    '1 h 0 m',
    '47 h 59 m',
    '2 d 0 h',
  ])
})

test('a gateway that was silent at the start, and has not come since, stands first', () => {
  const [, , first] = formatStatus({ ...STATUS, isGatewaySilent: true }, { columns: 80, hasColour: false })
  assert.equal(first, 'gateway   silent · its CA has not come yet')
})
