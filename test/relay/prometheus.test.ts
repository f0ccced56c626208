// The Prometheus text, read again by a strict reader of the exposition format. Prometheus' own checker is in
// prometheus.long.test.ts.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatPrometheus } from '#src/index.js'
import { describeOnEachRuntime } from '../support/runtimes.js'
import { startFixture } from './fixture.js'
import { someTraffic } from './some-traffic.js'

interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

interface Family {
  readonly type: string
  readonly samples: Sample[]
}

const HEADING = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="[^"\\\n]*",?)*)\})? ([0-9.e+-]+)$/
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="([^"\\\n]*)"/g

/** Reads the exposition format 0.0.4: each family once, HELP and TYPE first, every sample of it behind them and only once. */
function readExposition(text: string): Map<string, Family> {
  assert.ok(text.endsWith('\n'))
  const families = new Map<string, Family>()
  const seen = new Set<string>()
  let current = ''
  let helped = ''
  for (const line of text.slice(0, -1).split('\n')) {
    const heading = HEADING.exec(line)
    if (heading?.[1] === 'HELP') helped = heading[2] as string
    else if (heading !== null) {
      current = heading[2] as string
      assert.equal(current, helped)
      assert.ok(!families.has(current), `${current} twice`)
      families.set(current, { type: heading[3] as string, samples: [] })
    } else {
      const match = SAMPLE.exec(line)
      assert.ok(match, line)
      const [, name = '', labels = '', value = ''] = match
      assert.ok(!seen.has(`${name}{${labels}}`), `${line} twice`)
      seen.add(`${name}{${labels}}`)
      const family = families.get(current)
      assert.equal(name.replace(family?.type === 'histogram' ? /_(?:bucket|sum|count)$/ : /$^/, ''), current)
      const pairs = [...labels.matchAll(LABEL)].map(([, label, text]) => [label, text])
      family?.samples.push({ name, labels: Object.fromEntries(pairs), value: Number(value) })
    }
  }
  return families
}

function assertHistogram({ samples }: Family): void {
  const buckets = samples.filter(({ name }) => name.endsWith('_bucket'))
  const bounds = buckets.map(({ labels }) => (labels.le === '+Inf' ? Number.POSITIVE_INFINITY : Number(labels.le)))
  assert.deepEqual(
    bounds,
    bounds.toSorted((one, other) => one - other),
  )
  assert.equal(bounds.at(-1), Number.POSITIVE_INFINITY)
  const values = buckets.map(({ value }) => value)
  assert.deepEqual(
    values,
    values.toSorted((one, other) => one - other),
  )
  const [sum, count] = samples.slice(-2)
  assert.deepEqual([sum?.name.endsWith('_sum'), count?.name.endsWith('_count')], [true, true])
  assert.equal(count?.value, values.at(-1))
}

describeOnEachRuntime('the Prometheus text', (runtime) => {
  test('is what the exposition format asks for, and says what stats() says', async (t) => {
    const fixture = await startFixture(runtime)
    t.after(() => fixture.end())
    const statistics = await someTraffic(fixture)
    const families = readExposition(formatPrometheus(statistics))
    for (const [name, family] of families) {
      assert.match(name, /^ccr_upstream_proxy_[a-z_]+$/)
      assert.equal(name.endsWith('_total'), family.type === 'counter', name)
      if (family.type === 'histogram') assertHistogram(family)
    }
    const sampleOf = (name: string, labels: Record<string, string> = {}): number | undefined =>
      families
        .get(`ccr_upstream_proxy_${name}`)
        ?.samples.find((sample) => JSON.stringify(sample.labels) === JSON.stringify(labels))?.value
    assert.equal(sampleOf('tunnels_open'), 0)
    assert.equal(sampleOf('tunnels_accepted_total'), 3)
    assert.equal(sampleOf('tunnels_established_total', { route: 'gateway' }), 1)
    assert.equal(sampleOf('bytes_total', { route: 'gateway', direction: 'up' }), 2)
    assert.equal(sampleOf('bytes_total', { route: 'gateway', direction: 'down' }), statistics.bytesDown)
    assert.equal(sampleOf('refusals_total', { code: 'method-not-allowed' }), 1)
    assert.equal(sampleOf('gateway_refusals_total'), 1)
    const connect = families.get('ccr_upstream_proxy_connect_seconds')?.samples
    assert.deepEqual(
      connect?.slice(-2).map(({ value }) => value),
      [statistics.latencies.connect.sumMs / 1_000, 2],
    )
  })
})
