// A program with a relay in it that does what such programs do: it listens to events, blocks its event loop, ends in several
// ways; and it can end the relay's thread under it.
//   node thread-host.js PACKAGE-URL OPTIONS-AS-JSON
// With a `tunnelUrl` the options are those of startRelay(), without one those of initUpstreamProxy(). After the first line it
// takes commands from standard input, one a line; when that ends, only the relay keeps the process alive. It imports nothing of the tests, for it may use a copy of the package.

import { subscribe } from 'node:diagnostics_channel'
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { getHeapSnapshot } from 'node:v8'
import { Worker } from 'node:worker_threads'
import type { LogEntry, StartRelayOptions } from '#src/index.js'

const [, , packageUrl = '', options = '{}'] = process.argv
const { createLogger, initUpstreamProxy, startRelay } = (await import(packageUrl)) as typeof import('#src/index.js')

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

/** Until there is a file. */
async function block(file: string): Promise<void> {
  await say('blocked')
  while (!existsSync(file));
}

async function snapshotHolds(source: AsyncIterable<Buffer>, hex: string): Promise<boolean> {
  const pieces: Buffer[] = []
  for await (const piece of source) pieces.push(piece)
  return Buffer.concat(pieces).includes(Buffer.from(hex, 'hex'))
}

async function start() {
  const given = JSON.parse(options) as StartRelayOptions & { readonly listens?: boolean }
  if (given.listens) listen()
  const logSink = (entry: LogEntry): void => void entries.push(entry)
  if (given.tunnelUrl !== undefined) return startRelay({ ...given, logger: createLogger('debug', logSink) })
  const proxy = await initUpstreamProxy({ ...given, logLevel: 'debug', logSink })
  if (proxy.enabled) return proxy
  throw new Error(`${proxy.code}: ${proxy.reason}`)
}

const relay = await start()

/** Figures that took as long as a program waits for the relay's thread (statistics-line.ts) may be older ones. */
function statsOfNow() {
  for (;;) {
    const begun = performance.now()
    const stats = relay.stats()
    if (performance.now() - begun < 90) return stats
  }
}

const input = createInterface({ input: process.stdin })

const commands: Readonly<Record<string, (argument: string) => unknown>> = {
  listen,
  events: () => events,
  entries: () => entries,
  stats: statsOfNow,
  block,
  close: (graceMs) => relay.close(Number(graceMs)),
  exit: (code) => process.exit(Number(code)),
  hasThread: () => thread !== undefined,
  endThread: () => thread?.terminate(),
  /** It knows no such message, and throws. */
  breakThread: () => thread?.postMessage(null),
  ownHeapHolds: (hex) => snapshotHolds(getHeapSnapshot(), hex),
  threadHeapHolds: async (hex) => thread && snapshotHolds(await thread.getHeapSnapshot(), hex),
}

input.on('line', async (line) => {
  const [name = '', argument = ''] = line.split(' ')
  await say(await commands[name]?.(argument))
})
await say({ port: relay.port })
