// The relays of this user that are running, found by the records that they leave in their folders, and what each of them says.

import { existsSync } from 'node:fs'
import { asUpstreamProxyError, UpstreamProxyError } from '../errors.js'
import type { RelayStatus } from '../relay/status.js'
import { Probe } from '../runtime/probe.js'
import { readStatus } from '../runtime/status-socket.js'
import { type RelayRecord, readAllRelayRecords, readRelayRecords } from '../system/relay-record.js'

/** A relay on loopback answers at once. */
const ANSWER_TIMEOUT_MS = 2_000

/** A relay that has not ended: it says how it is; it cannot say, but listens; or it is stopped or slow. */
export type RunningRelay =
  | { readonly kind: 'told'; readonly record: RelayRecord; readonly socket: string; readonly status: RelayStatus }
  | { readonly kind: 'mute' | 'silent'; readonly record: RelayRecord; readonly error: UpstreamProxyError }

/** The relay of this TMPDIR that was started last, or the one on `port`; a silent one only where there is no other. */
export async function findRelay(port: number | undefined): Promise<RunningRelay | undefined> {
  const records =
    port === undefined ? readRelayRecords() : readAllRelayRecords().filter((record) => record.port === port)
  const met = (await Promise.all(records.map(meet))).filter((relay) => relay !== undefined)
  return met.find(({ kind }) => kind !== 'silent') ?? met[0]
}

/**
 * How the relay behind `socket` is.
 * @throws {UpstreamProxyError} `relay-not-found` when it has ended, `status-busy`, `status-unavailable`
 */
export async function askStatus(socket: string): Promise<RelayStatus> {
  const text = await readStatus(socket, ANSWER_TIMEOUT_MS)
  try {
    const status = JSON.parse(text) as RelayStatus
    if (status.version === 1) return status
  } catch (error) {
    throw asUpstreamProxyError(error, 'status-unavailable', 'the answer of the status socket is cut off')
  }
  throw new UpstreamProxyError('status-unavailable', 'the relay is of another version')
}

/**
 * The relay of a record; undefined when it has ended: one that was killed leaves its record behind, and its port to somebody
 * else. It is asked over HTTP only where it has no socket, for to the relay that is a client that it refuses, and counts.
 */
async function meet(record: RelayRecord): Promise<RunningRelay | undefined> {
  const { port, pid, statusSocket } = record
  // A relay that could not open its socket has none there.
  if (statusSocket === undefined || !existsSync(statusSocket))
    return (await isListening(port)) ? mute(record) : undefined
  try {
    const status = await askStatus(statusSocket)
    const isIts = status.port === port && status.pid === pid
    return isIts ? { kind: 'told', record, socket: statusSocket, status } : undefined
  } catch (thrown) {
    const { code, message } = asUpstreamProxyError(thrown, 'status-unavailable', 'the status socket')
    if (code === 'relay-not-found') return undefined
    const isBusy = code === 'status-busy'
    const error = new UpstreamProxyError(
      isBusy ? code : 'status-unavailable',
      `the relay on port ${port} (pid ${pid}): ${message}`,
    )
    return { kind: isBusy ? 'mute' : 'silent', record, error }
  }
}

function mute(record: RelayRecord): RunningRelay {
  const message = `the relay on port ${record.port} (pid ${record.pid}) has no status socket`
  return { kind: 'mute', record, error: new UpstreamProxyError('status-unavailable', message) }
}

/** Nothing here speaks TLS: Bun would read the file of NODE_EXTRA_CA_CERTS first, whatever it is. */
async function isListening(port: number): Promise<boolean> {
  const probe = new Probe(ANSWER_TIMEOUT_MS)
  try {
    await probe.connect('127.0.0.1', port)
    const { body } = await probe.ask('GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n')
    return (JSON.parse(body) as { hop?: unknown }).hop === 'relay'
  } catch {
    return false
  } finally {
    probe.close()
  }
}
