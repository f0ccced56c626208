// The tunnel log: one JSON line for each tunnel at its end, those that were refused included. Its shape is published in
// schema/tunnel-log.schema.json. The ids are also sent to the gateway, in X-Request-Id, so that both logs can be joined.

import { randomBytes } from 'node:crypto'
import { type ErrorCode, systemCode, UpstreamProxyError } from '../errors.js'
import type { Logger } from '../log.js'
import type { TunnelEnd, TunnelEndReason, TunnelOutcome, TunnelRoute } from './channels.js'
import { LineFile } from './line-file.js'

/** One line of the log. */
export interface TunnelLogRecord {
  /** When the client was accepted, RFC 3339 in UTC. */
  readonly time: string
  /** Of this tunnel alone, whichever relay it was; the gateway's `requestId`. */
  readonly id: string
  /** Missing when there was no good CONNECT head. */
  readonly host?: string
  readonly port?: number
  readonly route: TunnelRoute
  /** Payload bytes from the client, and to the client. */
  readonly bytesUp: number
  readonly bytesDown: number
  /** Milliseconds of each stage, as far as it came; and of all. */
  readonly ms: {
    readonly dial?: number
    readonly connect?: number
    readonly firstByte?: number
    readonly total: number
  }
  readonly outcome: TunnelOutcome
  readonly reason: TunnelEndReason
  /** Why it broke or was refused by the relay. */
  readonly code?: ErrorCode
}

/** Lines so far. */
export interface TunnelLogStatistics {
  readonly written: number
  /** Not written, because the disk did not take them. */
  readonly lost: number
}

export class TunnelLog {
  readonly #file: LineFile
  /** Unlike that of any other relay. */
  readonly #prefix = randomBytes(8).toString('hex')

  /** Opens the log at `path`; undefined after a warning when that fails: a log must not be what stops the relay. */
  static open(path: string, logger: Logger): TunnelLog | undefined {
    const warn = (what: string): void => logger.warn(new UpstreamProxyError('tunnel-log-failed', `${path} ${what}`))
    try {
      return new TunnelLog(new LineFile(path, (reason) => warn(`misses lines of the tunnel log (${reason})`)))
    } catch (error) {
      warn(`cannot be opened (${systemCode(error)})`)
      return undefined
    }
  }

  private constructor(file: LineFile) {
    this.#file = file
  }

  /** The id of a tunnel in the logs. */
  requestIdOf(id: number): string {
    return `${this.#prefix}-${id}`
  }

  write(end: TunnelEnd): void {
    this.#file.append(JSON.stringify(recordOf(this.requestIdOf(end.id), end)))
  }

  statistics(): TunnelLogStatistics {
    return this.#file.counts
  }

  close(): Promise<void> {
    return this.#file.close()
  }
}

function recordOf(id: string, end: TunnelEnd): TunnelLogRecord {
  const { host, port, route, bytesUp, bytesDown, outcome, reason, code } = end
  return {
    time: new Date(Date.now() - end.ageMs).toISOString(),
    id,
    ...(host === undefined || port === undefined ? {} : { host, port }),
    route,
    bytesUp,
    bytesDown,
    ms: {
      ...(end.dialMs === undefined ? {} : { dial: rounded(end.dialMs) }),
      ...(end.connectMs === undefined ? {} : { connect: rounded(end.connectMs) }),
      ...(end.firstByteMs === undefined ? {} : { firstByte: rounded(end.firstByteMs) }),
      total: rounded(end.ageMs),
    },
    outcome,
    reason,
    ...(code === undefined ? {} : { code }),
  }
}

/** To microseconds. */
function rounded(ms: number): number {
  return Math.round(ms * 1_000) / 1_000
}
