// The relays of this user that are running, found by the records that they leave in their folders.

import { asUpstreamProxyError, UpstreamProxyError } from '../errors.js'
import { formatEntry } from '../log.js'
import type { RelayStatus } from '../relay/status.js'
import { runtime } from '../runtime/select.js'
import { readStatus } from '../runtime/status-socket.js'
import { type RelayRecord, readRelayRecords } from '../system/relay-record.js'

/** A relay on loopback answers at once. */
const ANSWER_TIMEOUT_MS = 2_000

/** The relay that was started last, or the one on `port`. */
export async function findRelay(port: number | undefined): Promise<RelayRecord | undefined> {
  for (const record of readRelayRecords()) {
    if ((port === undefined || record.port === port) && (await isRunning(record))) return record
  }
  return undefined
}

/** Whether a relay answers there: one that was killed leaves its record behind, and its port to somebody else. */
async function isRunning({ port }: RelayRecord): Promise<boolean> {
  const route = { trust: runtime.createTrust(undefined), egress: undefined, egressTimeoutMs: ANSWER_TIMEOUT_MS }
  const limits = { timeoutMs: ANSWER_TIMEOUT_MS, maxBytes: 4_096 }
  try {
    const { body } = await runtime.download(new URL(`http://127.0.0.1:${port}/`), route, limits)
    return (JSON.parse(Buffer.from(body).toString('utf8')) as { hop?: unknown }).hop === 'relay'
  } catch {
    return false
  }
}

/** The status socket of the relay that was started last, or of the one on `port`, and its first answer. */
export async function findStatus(
  port: number | undefined,
): Promise<{ readonly socket: string; readonly status: RelayStatus } | undefined> {
  for (const record of readRelayRecords()) {
    if (record.statusSocket === undefined || (port !== undefined && record.port !== port)) continue
    const status = await askStatus(record.statusSocket).catch(() => undefined)
    if (status !== undefined) return { socket: record.statusSocket, status }
  }
  return undefined
}

/**
 * How the relay behind `socket` is.
 * @throws {UpstreamProxyError} `status-unavailable`
 */
export async function askStatus(socket: string): Promise<RelayStatus> {
  const text = await readStatus(socket)
  try {
    const status = JSON.parse(text) as RelayStatus
    if (status.version === 1) return status
  } catch (error) {
    throw asUpstreamProxyError(error, 'status-unavailable', 'the answer of the status socket is cut off')
  }
  throw new UpstreamProxyError('status-unavailable', 'the relay is of another version')
}

/** Says on standard error that there is none, or that the one there is cannot be asked; the exit code. */
export async function reportNoStatus(port: number | undefined): Promise<number> {
  if ((await findRelay(port)) === undefined) return reportNoRelay()
  return report(new UpstreamProxyError('status-unavailable', 'the relay has no status socket'))
}

/** Says so on standard error; the exit code. */
export function reportNoRelay(): number {
  return report(new UpstreamProxyError('relay-not-found', 'no relay of this user is running'))
}

function report({ code, message, hint }: UpstreamProxyError): number {
  process.stderr.write(`${formatEntry({ level: 'error', code, message, hint })}\n`)
  return 3
}
