// What a running relay leaves in its folder, so that other programs of the same user find it: where it listens and what its
// clients need. Nothing of it is secret, but options of other people may stand in the environment, so only the user reads it.

import { lstatSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { UpstreamProxyError } from '../errors.js'
import { readForeignFile } from '../foreign-file.js'
import type { ChildTargets } from './children/child-env.js'
import { Folder, ownFolders, type PrivateDirectory } from './private-directory.js'

/** What a relay has replaced for its children, as it was: who starts in their midst needs it. */
export interface ContainerFacts {
  /** Proxy, NO_PROXY and certificate files; a proxy without its user name and password. */
  readonly variables: Readonly<Record<string, string>>
  /** Whether there was such a password. */
  readonly hasEgressCredential: boolean
}

/** One relay. */
export interface RelayRecord {
  /** Of this form; another version's record is passed over. */
  readonly version: 1
  readonly pid: number
  readonly port: number
  /** Milliseconds since 1970. */
  readonly startedAt: number
  /** The Unix socket that says how it is, if there is one. */
  readonly statusSocket?: string
  readonly targets: ChildTargets
  /** Missing in records of earlier releases. */
  readonly container?: ContainerFacts
}

/** Of a relay's folder: nobody else may enter it. */
const FOLDER = 'record'
const FILE = 'relay.json'

/** Of a record: its lists come from variables, each of which execve(2) lets have 128 KiB. */
const MAX_RECORD_BYTES = 4 * 1_048_576

/** @throws {UpstreamProxyError} `bundle-unwritable` or `disk-full` */
export function writeRelayRecord(directory: PrivateDirectory, record: Omit<RelayRecord, 'version'>): void {
  const folder = new Folder(directory.makeSecretFolder(FOLDER))
  folder.writeFile(FILE, `${JSON.stringify({ version: 1, ...record })}\n`, 0o600)
}

/** The records of this user's relays with this TMPDIR, the latest first. One that was killed may have left its record behind. */
export function readRelayRecords(): readonly RelayRecord[] {
  return recordsIn([tmpdir()])
}

/** Also those without a TMPDIR: for the user of one relay that knows its port, and may have got another TMPDIR since. */
export function readAllRelayRecords(): readonly RelayRecord[] {
  return recordsIn([...new Set([tmpdir(), '/tmp'])])
}

/** What is wrong with records of this TMPDIR. */
export function findDamagedRecords(): readonly UpstreamProxyError[] {
  return findRecords(tmpdir()).filter((found) => found instanceof UpstreamProxyError)
}

function recordsIn(parents: readonly string[]): readonly RelayRecord[] {
  const records = parents
    .flatMap(findRecords)
    .filter((found): found is RelayRecord => !(found instanceof UpstreamProxyError))
  return records.sort((one, other) => other.startedAt - one.startedAt)
}

function findRecords(parent: string): readonly (RelayRecord | UpstreamProxyError)[] {
  return ownFolders(parent)
    .filter((folder) => isClosedToOthers(folder, 0o022) && isClosedToOthers(join(folder, FOLDER), 0o077))
    .map((folder) => readRecord(join(folder, FOLDER, FILE)))
    .filter((found) => found !== undefined)
}

/** Nobody else can have made or changed it: what stands in a record ends up in a shell. */
function isClosedToOthers(folder: string, bits: number): boolean {
  const stats = lstatSync(folder, { throwIfNoEntry: false })
  return stats?.isDirectory() === true && stats.uid === process.geteuid?.() && (stats.mode & bits) === 0
}

function readRecord(path: string): RelayRecord | UpstreamProxyError | undefined {
  const damaged = (why: string): UpstreamProxyError => new UpstreamProxyError('relay-record-damaged', `${path} ${why}`)
  const file = readForeignFile(path, { maxBytes: MAX_RECORD_BYTES, mayBeLink: false, owner: process.geteuid?.() })
  if (file.problem !== undefined) return file.problem === 'missing' ? undefined : damaged(file.why)
  try {
    const record: unknown = JSON.parse(file.bytes.toString('utf8'))
    return isRecord(record) ? record : damaged('is no record of a relay of this release')
  } catch {
    return damaged('is cut off, or was changed')
  }
}

function isRecord(value: unknown): value is RelayRecord {
  const record = value as Partial<RelayRecord> | null
  if (typeof record !== 'object' || record?.version !== 1) return false
  const { pid, port, startedAt, targets } = record
  return [pid, port, startedAt].every(Number.isSafeInteger) && typeof targets?.proxyUrl === 'string'
}
