/**
 * The public names of the package.
 * @module ccr-upstream-proxy
 */

export { ERROR_CODES, type ErrorCode, UpstreamProxyError } from './errors.js'
export {
  type DisabledProxy,
  type EnabledProxy,
  initUpstreamProxy,
  type UpstreamProxy,
  type UpstreamProxyOptions,
} from './init.js'
export { createLogger, type LogEntry, type Logger, type LogLevel, type LogSink } from './log.js'
export type { EgressProxy } from './protocol/egress-proxy.js'
export type { TunnelState } from './protocol/tunnel-state.js'
export type { BypassOptions } from './relay/bypass-carrier.js'
export type {
  ChannelMessages,
  RelayState,
  RelayStateChange,
  TunnelEnd,
  TunnelEndReason,
  TunnelFacts,
  TunnelOutcome,
  TunnelRefusal,
  TunnelRoute,
  TunnelStages,
} from './relay/channels.js'
export type { TokenSource } from './relay/credential.js'
export { estimateQuantileMs, type HistogramCounts } from './relay/histogram.js'
export { DEFAULT_RELAY_LIMITS, type RelayLimits } from './relay/limits.js'
export type { RelayLatencies, RelayStatistics } from './relay/monitor.js'
export { formatPrometheus, PROMETHEUS_CONTENT_TYPE } from './relay/prometheus.js'
export type { Relay, RelayOptions } from './relay/relay.js'
export type { HostStatus, RelayStatus } from './relay/status.js'
export type { TunnelLogRecord, TunnelLogStatistics } from './relay/tunnel-log.js'
export type { WarmStatistics } from './relay/warm-pool.js'
export type { RelayThreadChoice } from './thread/open-relay-home.js'
export { type StartRelayOptions, startRelay } from './thread/start-relay.js'
