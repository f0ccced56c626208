// The system that the clients are let loose in: the real gateway, relays as their users start them, and an origin for each
// client. An origin is reached by three ways:
//   intercepted    ID.intercepted.example.test   the gateway terminates TLS and injects the credential
//   passed through ID.public.example.test        the gateway splices; the certificate's root is in the system bundle only
//   bypassed       127.0.77.N                    in NO_PROXY as a network: it never gets to the gateway
// The names are in no DNS: without a proxy there is no way to them.

import { mkdirSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import type { AuditRecord } from 'ccr-upstream-gateway'
import { startRelaySession } from '../e2e/relay-session.js'
import { originCa } from '../support/origin.js'
import { INJECTION, startSystem } from '../support/system.js'
import { createTempDirectory, type Scope } from '../support/temp-dir.js'
import { Origin } from './origin.js'
import type { CellKind, Target, Tool } from './tool.js'

/** What goes past the relay. Some clients cannot read a network here: the relay dials for them. */
const BYPASSED_NETWORK = '127.0.77.0/24'

/** A running stage. */
export interface Stage {
  readonly scope: Scope
  origin(tool: Tool): Origin
  target(tool: Tool, kind: CellKind): Target
  /** What a relay exports for this client. */
  exported(tool: Tool): Readonly<Record<string, string>>
  /** The records about a host so far. */
  audit(host: string): readonly AuditRecord[]
  /** Settles with the next record about a host. */
  nextRecord(host: string): Promise<void>
}

/** Starts the stage for these clients; it goes with `scope`. */
export async function startStage(scope: Scope, tools: readonly Tool[]): Promise<Stage> {
  const origins = new Map<string, Origin>()
  for (const [index, { id }] of tools.entries()) {
    const address = `127.0.77.${index + 1}`
    const guardedHost = interceptedHost(id)
    const certificate = await originCa.serverCertificate(guardedHost, publicHost(id), address)
    origins.set(id, await Origin.start(scope, { address, certificate, guardedHost }))
  }
  const originOf = ({ id }: Tool): Origin => {
    const origin = origins.get(id)
    if (origin === undefined) throw new Error(`${id} has no origin`)
    return origin
  }
  const ways = Array.from(origins, ([id, { address }]) => [
    [interceptedHost(id), address],
    [publicHost(id), address],
  ])
  const records = new AuditLog()
  const system = await startSystem(scope, {
    origins: Object.fromEntries(ways.flat()),
    hosts: { '*.intercepted.example.test': INJECTION },
    onAudit: (record) => records.add(record),
  })
  const addresses = tools.flatMap((tool) => (tool.wantsAddress === undefined ? [] : originOf(tool).host))
  const container = { CCR_UPSTREAM_PROXY_NO_PROXY: [BYPASSED_NETWORK, ...addresses].join(',') }
  const relay = await startRelaySession(scope, system, container)
  // A root that a client has compiled in cannot be made for a test: the container names it to those that know no others.
  const rootFile = join(createTempDirectory(scope, 'roots'), 'public-root.pem')
  writeFileSync(rootFile, system.publicRootPem)
  const rootsRelay = await startRelaySession(scope, system, { ...container, NODE_EXTRA_CA_CERTS: rootFile })
  return {
    scope,
    origin: originOf,
    target: (tool, kind) => createTarget(tool, kind, originOf(tool)),
    exported: ({ hasOwnRoots }) => (hasOwnRoots ? rootsRelay : relay).exported,
    audit: (host) => records.about(host),
    nextRecord: (host) => records.next(host),
  }
}

function createTarget({ id }: Tool, kind: CellKind, origin: Origin): Target {
  if (kind === 'bypassed') return { kind, host: origin.host, port: origin.port, url: `https://${origin.address}` }
  const host = kind === 'intercepted' ? interceptedHost(id) : publicHost(id)
  return { kind, host, port: 443, url: `https://${host}` }
}

function interceptedHost(id: string): string {
  return `${id}.intercepted.example.test`
}

function publicHost(id: string): string {
  return `${id}.public.example.test`
}

/** The gateway's audit by host. */
class AuditLog {
  readonly #records: AuditRecord[] = []
  readonly #waiting = new Map<string, (() => void)[]>()

  add(record: AuditRecord): void {
    this.#records.push(record)
    for (const wake of this.#waiting.get(record.host ?? '') ?? []) wake()
    this.#waiting.delete(record.host ?? '')
  }

  about(host: string): AuditRecord[] {
    return this.#records.filter((record) => record.host === host)
  }

  next(host: string): Promise<void> {
    return new Promise((resolve) => this.#waiting.set(host, [...(this.#waiting.get(host) ?? []), resolve]))
  }
}

/** The search path of the clients: the system's own folders first, before version managers that want a home. */
const SYSTEM_FOLDERS = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']

/** A fresh home under `folder`, and the environment of a process that lives there: no more than a login gives. */
export function createHome(folder: string): Record<string, string> {
  const [home, temporary] = [join(folder, 'home'), join(folder, 'tmp')]
  for (const path of [home, temporary]) mkdirSync(path, { recursive: true })
  const inherited = (process.env.PATH ?? '').split(delimiter)
  const path = new Set([...SYSTEM_FOLDERS, dirname(process.execPath), ...inherited])
  return { PATH: [...path].join(delimiter), HOME: home, TMPDIR: temporary, LANG: 'C.UTF-8', TERM: 'dumb' }
}
