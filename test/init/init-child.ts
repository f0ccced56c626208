// A program that calls initUpstreamProxy() and says what came of it, one JSON line an answer:
//   node init-child.js PACKAGE-URL [OPTIONS-AS-JSON]
// After the first line it takes commands from standard input, a word a line: look, close, dispose, merge, reveal.
// It imports nothing of the tests, for it may run from a copy.

import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { url as inspectorUrl } from 'node:inspector'
import { createInterface } from 'node:readline'
import { inspect } from 'node:util'

const [, , packageUrl = '', options = '{}'] = process.argv
const { initUpstreamProxy } = (await import(packageUrl)) as typeof import('ccr-upstream-proxy')

const resourcesBefore = process.getActiveResourcesInfo().sort()
const proxy = await initUpstreamProxy(JSON.parse(options) as object)
const resourcesAfter = process.getActiveResourcesInfo().sort()

/** What can be seen from inside of what the proxy did to this process. */
function look(): object {
  return { listening: listeningPorts(), hasAddon: hasAddon(), hasInspector: inspectorUrl() !== undefined }
}

function hasAddon(): boolean {
  const { sharedObjects } = process.report.getReport() as unknown as { sharedObjects: string[] }
  return sharedObjects.some((file) => /ccr-upstream-proxy[^/]*\.node$/.test(file))
}

/** Ports of this process's own listening TCP sockets, from /proc; [] where there is none. */
function listeningPorts(): number[] {
  const own = new Set(attempt(() => readdirSync('/proc/self/fd'), []).map(inodeOf))
  return ['/proc/self/net/tcp', '/proc/self/net/tcp6'].flatMap((file) => {
    const lines = attempt(() => readFileSync(file, 'latin1'), '')
      .split('\n')
      .slice(1)
    // Columns, proc(5): 1 the local address, 3 the state (0A is LISTEN), 9 the inode.
    const rows = lines.map((line) => line.trim().split(/\s+/))
    const listening = rows.filter((columns) => columns[3] === '0A' && own.has(columns[9]))
    return listening.map((columns) => Number.parseInt(columns[1]?.split(':')[1] ?? '', 16))
  })
}

function inodeOf(descriptor: string): string | undefined {
  const target = attempt(() => readlinkSync(`/proc/self/fd/${descriptor}`), '')
  return /^socket:\[(\d+)\]$/.exec(target)?.[1]
}

function attempt<T>(action: () => T, otherwise: T): T {
  try {
    return action()
  } catch {
    return otherwise
  }
}

function say(answer: object): void {
  process.stdout.write(`${JSON.stringify(answer)}\n`)
}

const commands: Readonly<Record<string, () => Promise<object>>> = {
  look: async () => look(),
  close: async () => {
    await Promise.all([proxy.close(0), proxy.close(0)])
    await proxy.close()
    return look()
  },
  dispose: async () => {
    await proxy[Symbol.asyncDispose]()
    return look()
  },
  merge: async () => proxy.childEnvironment({ KEPT: 'kept', NODE_OPTIONS: '--no-warnings' }),
  reveal: async () => ({
    inspected: inspect(proxy, { depth: 10, showHidden: true, getters: true }),
    json: JSON.stringify(proxy),
    text: `${proxy}`,
  }),
}

say({ ...proxy, ...look(), resourcesBefore, resourcesAfter })
for await (const command of createInterface({ input: process.stdin })) {
  const action = commands[command]
  if (action === undefined) throw new Error(`there is no command ${command}`)
  say(await action())
}
