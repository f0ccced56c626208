// Spans and metrics of OpenTelemetry out of the proxy's events and figures: a span for each tunnel, with an event where each
// stage of it was over. Only the API is needed here; which SDK and exporter stand behind it is the program's choice.

import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { metrics, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'

/** @typedef {import('ccr-upstream-proxy').ChannelMessages} ChannelMessages */
/** @typedef {ChannelMessages['ccr-upstream-proxy:tunnel:close']} TunnelEnd */

const NAME = 'ccr-upstream-proxy'
const CLOSE = 'ccr-upstream-proxy:tunnel:close'

/**
 * Begins to report; the result ends it.
 * @param {{ stats(): import('ccr-upstream-proxy').RelayStatistics | undefined }} proxy
 */
export function reportTelemetry(proxy) {
  const tracer = trace.getTracer(NAME)
  const meter = metrics.getMeter(NAME)
  const duration = meter.createHistogram('ccr_upstream_proxy.tunnel.duration', { unit: 's' })
  const open = meter.createObservableUpDownCounter('ccr_upstream_proxy.tunnels.open')
  const bytes = meter.createObservableCounter('ccr_upstream_proxy.io', { unit: 'By' })

  /** @param {unknown} message */
  const onClose = (message) => {
    const tunnel = /** @type {TunnelEnd} */ (message)
    duration.record(tunnel.ageMs / 1_000, describeKind(tunnel))
    record(tracer, tunnel)
  }
  /** @param {import('@opentelemetry/api').BatchObservableResult} result */
  const onCollect = (result) => {
    const stats = proxy.stats()
    if (stats === undefined) return
    result.observe(open, stats.tunnels.open)
    result.observe(bytes, stats.bytesUp, { 'network.io.direction': 'transmit' })
    result.observe(bytes, stats.bytesDown, { 'network.io.direction': 'receive' })
  }
  subscribe(CLOSE, onClose)
  meter.addBatchObservableCallback(onCollect, [open, bytes])
  return () => {
    unsubscribe(CLOSE, onClose)
    meter.removeBatchObservableCallback(onCollect, [open, bytes])
  }
}

/**
 * What a metric is divided by: a few words, and no host.
 * @param {TunnelEnd} tunnel
 */
function describeKind({ route, outcome, code }) {
  return {
    'ccr_upstream_proxy.route': route,
    'ccr_upstream_proxy.outcome': outcome,
    ...(code === undefined ? {} : { 'error.type': code }),
  }
}

/** @param {TunnelEnd} tunnel */
function describe(tunnel) {
  const { host, port, requestId } = tunnel
  return {
    ...describeKind(tunnel),
    ...(host === undefined ? {} : { 'server.address': host, 'server.port': port }),
    ...(requestId === undefined ? {} : { 'ccr_upstream_proxy.request_id': requestId }),
  }
}

/**
 * The tunnel is over: its span is written afterwards, from when it began.
 * @param {import('@opentelemetry/api').Tracer} tracer
 * @param {TunnelEnd} tunnel
 */
function record(tracer, tunnel) {
  const { host, ageMs, dialMs, connectMs, firstByteMs, code, reason } = tunnel
  const endTime = Date.now()
  let time = endTime - ageMs
  const name = host === undefined ? 'CONNECT' : `CONNECT ${host}`
  const span = tracer.startSpan(name, { kind: SpanKind.CLIENT, startTime: time, attributes: describe(tunnel) })
  for (const [stage, ms] of Object.entries({ dial: dialMs, connect: connectMs, 'first byte': firstByteMs })) {
    if (ms === undefined) continue
    time += ms
    span.addEvent(stage, { 'ccr_upstream_proxy.ms': ms }, time)
  }
  span.addEvent(reason, endTime)
  if (code !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: code })
  span.end(endTime)
}
