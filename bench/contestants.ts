// Who takes part: the relay of this package on Node and Bun, and the controls. Each is a process of its own.

import { existsSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { findHaproxy, startHaproxy } from './controls/haproxy.js'
import { installVarlock, startVarlock } from './controls/varlock.js'
import type { RelaySettings } from './processes/relay-host.js'
import { ServedProcess } from './processes/served-process.js'

/** With its defaults: in a thread of its own. */
export const OURS_NODE = 'ours, Node'
export const OURS_BUN = 'ours, Bun'
/** In the program's own thread. */
export const MAIN_NODE = 'ours main, Node'
export const MAIN_BUN = 'ours main, Bun'
/** Without warm tunnels. */
export const COLD_NODE = 'ours cold, Node'
export const COLD_BUN = 'ours cold, Bun'
export const PIPE_NODE = 'pipe, Node'
export const BARE_BUN = 'bare sockets, Bun'
export const TEXTBOOK_NODE = 'textbook, Node'
export const TEXTBOOK_NATIVE = 'textbook + bufferutil, Node'
export const TEXTBOOK_BUN = 'textbook, Bun'
export const HAPROXY = 'HAProxy'
/** A peer, which takes part only when it is asked for. */
export const VARLOCK = 'varlock'

/** A relay that runs. */
export interface RunningRelay {
  readonly name: string
  readonly pid: number
  readonly port: number
  /** Its process, to be asked what relay-host.ts knows; undefined for a program of somebody else. */
  readonly process: ServedProcess | undefined
  stop(): Promise<void>
}

interface Contestant {
  readonly name: string
  start(settings: RelaySettings): Promise<RunningRelay>
}

/** Who takes part, and who does not with the reason. */
export interface Field {
  readonly contestants: readonly Contestant[]
  readonly notes: readonly string[]
}

/** Without it `ws` masks in JavaScript, as it does where nobody has installed an addon for it. */
const WITHOUT_BUFFERUTIL = { WS_NO_BUFFER_UTIL: '1' }

/** Those of `names` that can be started here. */
export function findContestants(names: readonly string[]): Field {
  const notes: string[] = []
  const contestants = names.flatMap((name) => {
    const found = findContestant(name)
    if (typeof found !== 'string') return [found]
    notes.push(`${name} is left out: ${found}`)
    return []
  })
  return { contestants, notes }
}

function findContestant(name: string): Contestant | string {
  const [kind = '', runtime = ''] = name.split(', ')
  if (name === HAPROXY) return haproxy()
  if (name === VARLOCK) return varlock()
  const binary = runtime === 'Bun' ? findBun() : process.execPath
  if (binary === undefined) return 'Bun is not installed: its optional package is missing in node_modules/@oven'
  if (kind === 'textbook + bufferutil') return textbookWithBufferutil(name, binary)
  return hosted(name, binary, kind.replace(' ', '-'), WITHOUT_BUFFERUTIL)
}

function hosted(name: string, runtime: string, kind: string, env: Readonly<Record<string, string>>): Contestant {
  return {
    name,
    async start(settings) {
      const host = new ServedProcess('relay-host.js', { runtime, args: [kind], env })
      const port = await host.ask<number>('start', settings)
      return { name, pid: host.pid, port, process: host, stop: () => host[Symbol.asyncDispose]() }
    },
  }
}

const MODULES = fileURLToPath(new URL('../../node_modules/', import.meta.url))

export function findBun(): string | undefined {
  const architecture = process.arch === 'arm64' ? 'aarch64' : process.arch
  const packages = [`bun-${process.platform}-${architecture}`, `bun-${process.platform}-${architecture}-baseline`]
  return packages.map((name) => join(MODULES, '@oven', name, 'bin/bun')).find((path) => existsSync(path))
}

/**
 * It is installed under another name, so that no other `ws` of this repository finds it; here it gets its own name back in a
 * folder that only this contestant looks into.
 */
function textbookWithBufferutil(name: string, runtime: string): Contestant | string {
  const folder = dirname(createRequire(import.meta.url).resolve('bench-bufferutil/package.json'))
  if (!existsSync(join(folder, 'prebuilds', `${process.platform}-${process.arch}`)))
    return `bufferutil has no prebuild for ${process.platform}-${process.arch}`
  return {
    name,
    async start(settings) {
      const modules = mkdtempSync(join(tmpdir(), 'bench-modules-'))
      symlinkSync(folder, join(modules, 'bufferutil'))
      const relay = await hosted(name, runtime, 'textbook', { NODE_PATH: modules }).start(settings)
      const stop = () => relay.stop().finally(() => rmSync(modules, { recursive: true, force: true }))
      return { ...relay, stop }
    },
  }
}

function haproxy(): Contestant | string {
  const binary = findHaproxy()
  if (binary === undefined) return 'haproxy is not installed'
  return {
    name: HAPROXY,
    async start(settings) {
      return { name: HAPROXY, process: undefined, ...(await startHaproxy(binary, settings)) }
    },
  }
}

function varlock(): Contestant | string {
  const runtime = 'WebSocket' in globalThis ? process.execPath : findBun()
  if (runtime === undefined) return 'it needs Node 22 or Bun'
  const installed = installVarlock()
  if (typeof installed === 'string') return installed
  const name = runtime === process.execPath ? `${VARLOCK}, Node` : `${VARLOCK}, Bun`
  return {
    name,
    async start(settings) {
      return { name, process: undefined, ...(await startVarlock(installed.folder, runtime, settings)) }
    },
  }
}
