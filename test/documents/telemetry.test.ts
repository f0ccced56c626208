// The OpenTelemetry example of doc/telemetry.md: it is the file that is shown, and it makes what it says.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { metrics, trace } from '@opentelemetry/api'
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { createLogger, type RelayStatistics, startRelay } from '#src/index.js'
import { relayOptions } from '../relay/fixture.js'
import { connectHead } from '../support/connect-vectors.js'
import { connectRaw } from '../support/raw-client.js'
import { startWireGateway } from '../support/wire-gateway.js'
import { documentText, fencedBlocks } from './markdown.js'

const EXAMPLE = 'doc/examples/telemetry.mjs'

interface Example {
  reportTelemetry(proxy: { stats(): RelayStatistics | undefined }): () => void
}

test('doc/telemetry.md shows the example word for word', () => {
  const [shown] = fencedBlocks(documentText('doc/telemetry.md')).filter(({ text }) => text.includes('startSpan'))
  assert.equal(shown?.text, documentText(EXAMPLE))
})

test('the example makes a span for each tunnel, and metrics', async (context) => {
  const spans = new InMemorySpanExporter()
  trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] }))
  const figures = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  const reader = new PeriodicExportingMetricReader({ exporter: figures, exportIntervalMillis: 3_600_000 })
  metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }))
  context.after(() => reader.shutdown())
  const { reportTelemetry } = (await import(new URL(`../../../${EXAMPLE}`, import.meta.url).href)) as Example

  const gateway = await startWireGateway()
  context.after(() => gateway.close())
  const relay = await startRelay({ ...relayOptions(gateway), logger: createLogger('silent') })
  const end = reportTelemetry(relay)
  context.after(end)
  const client = await connectRaw(relay.port)
  client.write(connectHead('h.example:443'))
  const tunnel = await gateway.nextTunnel()
  tunnel.open()
  await client.takeOpening()
  client.write('up')
  await tunnel.take(2)
  tunnel.send('down')
  await client.take(4)
  tunnel.close(1000)
  await client.ended
  client.endWriting()
  const plain = await connectRaw(relay.port)
  plain.write('GET / HTTP/1.1\r\nHost: h.example\r\n\r\n')
  await plain.takeOnlyAnswer()
  plain.endWriting()
  // Every event is told by then.
  await relay.close()
  await reader.forceFlush()

  const [carried, refused] = spans.getFinishedSpans().toSorted((one, other) => other.name.length - one.name.length)
  assert.deepEqual([carried?.name, refused?.name], ['CONNECT h.example', 'CONNECT'])
  assert.deepEqual(carried?.attributes, {
    'ccr_upstream_proxy.route': 'gateway',
    'ccr_upstream_proxy.outcome': 'completed',
    'server.address': 'h.example',
    'server.port': 443,
  })
  assert.deepEqual(
    carried?.events.map(({ name }) => name),
    ['dial', 'connect', 'first byte', 'target-ended'],
  )
  assert.deepEqual(refused?.status, { code: 2, message: 'method-not-allowed' })
  assert.equal(refused?.attributes['error.type'], 'method-not-allowed')
  const collected = figures.getMetrics().at(-1)?.scopeMetrics[0]?.metrics ?? []
  assert.deepEqual(collected.map(({ descriptor }) => descriptor.name).toSorted(), [
    'ccr_upstream_proxy.io',
    'ccr_upstream_proxy.tunnel.duration',
    'ccr_upstream_proxy.tunnels.open',
  ])
  const io = collected.find(({ descriptor }) => descriptor.name === 'ccr_upstream_proxy.io')
  assert.deepEqual(
    io?.dataPoints.map(({ value, attributes }) => [attributes['network.io.direction'], value]),
    [
      ['transmit', 2],
      ['receive', relay.stats().bytesDown],
    ],
  )
})
