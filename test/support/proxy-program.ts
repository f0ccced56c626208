// A program with the proxy in it, on whatever runtime runs it, that does what such programs do and says what came of it:
//   node proxy-program.js PACKAGE-URL [OPTIONS-AS-JSON]
// With a `tunnelUrl` the options are those of startRelay(), and the log is kept for `entries`; without one they are those of
// initUpstreamProxy(). `listens`: it listens to events before it calls. The first line of standard output is how that went; then
// each line of standard input is a command, and is answered with a line of JSON. When the input ends, only the relay keeps the
// process alive. It imports nothing of the tests, for it may run from a copy, and use a copy of the package.

import { subscribe } from 'node:diagnostics_channel'
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { url as inspectorUrl } from 'node:inspector'
import { createInterface } from 'node:readline'
import { inspect } from 'node:util'
import { getHeapSnapshot } from 'node:v8'
import { Worker } from 'node:worker_threads'
import type { LogEntry, Relay, StartRelayOptions, UpstreamProxy } from '#src/index.js'

const [, , packageUrl = '', options = '{}'] = process.argv
const { createLogger, initUpstreamProxy, startRelay } = (await import(packageUrl)) as typeof import('#src/index.js')
const { listens, ...given } = JSON.parse(options) as StartRelayOptions & { readonly listens?: boolean }

const entries: LogEntry[] = []
const events: object[] = []
let thread: Worker | undefined
const { postMessage } = Worker.prototype
Worker.prototype.postMessage = function (this: Worker, ...args: Parameters<typeof postMessage>) {
  thread = this
  postMessage.apply(this, args)
}

function say(answer: unknown): Promise<void> {
  return new Promise((resolve) => process.stdout.write(`${JSON.stringify(answer ?? null)}\n`, () => resolve()))
}

function listen(): void {
  for (const name of ['tunnel:open', 'tunnel:established', 'tunnel:close', 'tunnel:refuse', 'state'])
    subscribe(`ccr-upstream-proxy:${name}`, (message) => events.push({ name, ...(message as object) }))
}

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

function startGivenRelay(): Promise<Relay> {
  return startRelay({ ...given, logger: createLogger('debug', (entry) => void entries.push(entry)) })
}

/** Until there is a file. */
async function block(file: string): Promise<void> {
  await say('blocked')
  while (!existsSync(file));
}

/** Figures that took as long as a program waits for the relay's thread (statistics-line.ts) may be older ones. */
function statsOfNow() {
  for (;;) {
    const begun = performance.now()
    const stats = relay.stats()
    if (performance.now() - begun < 90) return stats
  }
}

/** As often as a program may. */
async function close(graceMs: string): Promise<void> {
  await Promise.all([relay.close(Number(graceMs)), relay.close(Number(graceMs))])
  await relay.close()
}

/** What the program may do to its own process. */
async function setDumpable(value: 0 | 1): Promise<number | undefined> {
  const { loadAddon } = (await import(new URL('addon.js', packageUrl).href)) as typeof import('#src/addon.js')
  return loadAddon().addon?.setDumpable(value)
}

async function snapshotHolds(source: AsyncIterable<Buffer>, hex: string): Promise<boolean> {
  const pieces: Buffer[] = []
  for await (const piece of source) pieces.push(piece)
  return Buffer.concat(pieces).includes(Buffer.from(hex, 'hex'))
}

if (listens) listen()
const resourcesBefore = process.getActiveResourcesInfo().sort()
const relay: Relay | UpstreamProxy =
  given.tunnelUrl === undefined ? await initUpstreamProxy(given) : await startGivenRelay()
const resourcesAfter = process.getActiveResourcesInfo().sort()

const commands: Readonly<Record<string, (argument: string) => unknown>> = {
  look,
  listen,
  events: () => events,
  entries: () => entries,
  stats: statsOfNow,
  block,
  close,
  dispose: () => relay[Symbol.asyncDispose](),
  merge: () => 'childEnvironment' in relay && relay.childEnvironment({ KEPT: 'kept', NODE_OPTIONS: '--no-warnings' }),
  reveal: () => ({
    inspected: inspect(relay, { depth: 10, showHidden: true, getters: true }),
    json: JSON.stringify(relay),
    text: `${relay}`,
  }),
  setDumpable: (value) => setDumpable(value === '1' ? 1 : 0),
  exit: (code) => process.exit(Number(code)),
  hasThread: () => thread !== undefined,
  endThread: () => thread?.terminate(),
  /** It knows no such message, and throws. */
  breakThread: () => thread?.postMessage(null),
  ownHeapHolds: (hex) => snapshotHolds(getHeapSnapshot(), hex),
  threadHeapHolds: async (hex) => thread && snapshotHolds(await thread.getHeapSnapshot(), hex),
}

createInterface({ input: process.stdin }).on('line', async (line) => {
  const [name = '', argument = ''] = line.split(' ')
  const command = commands[name]
  if (command === undefined) throw new Error(`there is no command ${name}`)
  await say(await command(argument))
})
await say({ ...relay, port: relay.port, ...look(), resourcesBefore, resourcesAfter })
