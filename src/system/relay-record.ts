// What a running relay leaves in its folder, so that other programs of the same user find it: where it listens and what its
// clients need. Nothing of it is secret, but options of other people may stand in the environment, so only the user reads it.

import { type Dirent, readdirSync, readFileSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ChildTargets } from './children/child-env.js'
import { DIRECTORY_PREFIX, type PrivateDirectory } from './private-directory.js'

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

const FILE = 'relay.json'

/** @throws {UpstreamProxyError} `bundle-unwritable` */
export function writeRelayRecord(directory: PrivateDirectory, record: Omit<RelayRecord, 'version'>): void {
  directory.writeFile(FILE, `${JSON.stringify({ version: 1, ...record })}\n`, 0o600)
}

/** The records of this user's relays with this TMPDIR, the latest first. One that was killed may have left its record behind. */
export function readRelayRecords(): readonly RelayRecord[] {
  return recordsIn([tmpdir()])
}

/** Also those without a TMPDIR: for the user of one relay that knows its port, and may have got another TMPDIR since. */
export function readAllRelayRecords(): readonly RelayRecord[] {
  return recordsIn([...new Set([tmpdir(), '/tmp'])])
}

function recordsIn(parents: readonly string[]): readonly RelayRecord[] {
  const records = parents
    .flatMap(relayFolders)
    .map(readRecord)
    .filter((record) => record !== undefined)
  return records.sort((one, other) => other.startedAt - one.startedAt)
}

function relayFolders(parent: string): string[] {
  const isOurs = (entry: Dirent): boolean => entry.isDirectory() && entry.name.startsWith(DIRECTORY_PREFIX)
  try {
    const entries = readdirSync(parent, { withFileTypes: true })
    return entries.filter(isOurs).map(({ name }) => join(parent, name))
  } catch {
    return []
  }
}

/** Only of folders that nobody else can have made or changed: what stands there ends up in a shell. */
function readRecord(folder: string): RelayRecord | undefined {
  try {
    const { uid, mode } = statSync(folder)
    if (uid !== process.geteuid?.() || (mode & 0o022) !== 0) return undefined
    const record = JSON.parse(readFileSync(join(folder, FILE), 'utf8')) as RelayRecord
    return record.version === 1 ? record : undefined
  } catch {
    return undefined
  }
}
