// A relay in a process of its own, on whatever runtime runs this file. The options of startRelay() come in as the first line of
// standard input, commands as the lines behind it; every line of standard output is one JSON object. The process ends
// when its input does, so that it cannot outlive the test.

import { subscribe } from 'node:diagnostics_channel'
import { closeSync, openSync, readdirSync } from 'node:fs'
import { createInterface } from 'node:readline'
import {
  createLogger,
  type Relay,
  type RelayStatistics,
  type StartRelayOptions,
  startRelay,
  type TokenSource,
} from '#src/index.js'
import { CHANNELS } from '#src/relay/channels.js'

process.on('uncaughtException', (error) => say({ fault: `uncaughtException: ${error.stack}` }))
process.on('unhandledRejection', (reason) => say({ fault: `unhandledRejection: ${String(reason)}` }))
process.on('warning', (warning) => say({ fault: `warning: ${warning.name}: ${warning.message}` }))

function say(message: object): void {
  process.stdout.write(`${JSON.stringify(message)}\n`)
}

/** What the token source lends; undefined: it throws. */
let lent: Buffer | undefined

const tokenSource: TokenSource = {
  withToken(use) {
    if (lent === undefined) throw new Error('the vault is away')
    return use(Buffer.from(lent))
  },
}

/** With a `lent` among them, in hex, the token comes from a token source. */
function optionsOf(line: string): StartRelayOptions {
  const { lent: hex, ...options } = JSON.parse(line) as StartRelayOptions & { readonly lent?: string }
  if (hex === undefined) return options
  lend(hex)
  return { ...options, token: tokenSource }
}

function lend(hex: string): void {
  lent = hex === '' ? undefined : Buffer.from(hex, 'hex')
}

function listen(): void {
  for (const { name } of Object.values(CHANNELS)) subscribe(name, (message) => say({ event: { name, message } }))
}

function descriptors(): number {
  return readdirSync('/proc/self/fd').length
}

const taken: number[] = []

/** Opens files until the process may open no more. */
function takeDescriptors(): void {
  try {
    for (;;) taken.push(openSync('/dev/null', 'r'))
  } catch {}
}

/** Figures that took as long as a program waits for the relay's thread (statistics-line.ts) may be older ones. */
function statsOfNow(relay: Relay): RelayStatistics {
  for (;;) {
    const start = performance.now()
    const stats = relay.stats()
    if (performance.now() - start < 90) return stats
  }
}

async function answer(relay: Relay, command: string, argument: string | undefined): Promise<unknown> {
  switch (command) {
    case 'stats':
      return statsOfNow(relay)
    case 'listen':
      listen()
      return undefined
    case 'memory':
      return process.memoryUsage().rss
    case 'descriptors':
      return descriptors()
    case 'take-descriptors':
      return takeDescriptors()
    case 'give-descriptors':
      return taken.splice(0).forEach(closeSync)
    case 'lend':
      return lend(argument ?? '')
    case 'close':
      await relay.close(argument === undefined ? undefined : Number(argument))
      return descriptors()
    default:
      throw new Error(`no such command: ${command}`)
  }
}

async function run(): Promise<void> {
  let relay: Relay | undefined
  // First of all what takes a descriptor on some runtimes: saying something, and a signal handler.
  say({ starting: true })
  process.on('SIGTERM', () => relay?.close().then(() => process.exit(0)))
  const lines = createInterface({ input: process.stdin })
  lines.on('close', () => process.exit(0))
  for await (const line of lines) {
    if (relay === undefined) {
      // Descriptors of the process before it listens: what it must be back to after close().
      const before = descriptors()
      relay = await startRelay({ ...optionsOf(line), logger: createLogger('silent') })
      const { port } = relay
      say({ port, descriptors: before })
      continue
    }
    const [id, command, argument] = line.split(' ') as [string, string, string | undefined]
    // Not awaited: a close() may take as long as its grace period, and other commands are answered meanwhile.
    answer(relay, command, argument).then(
      (value) => say({ id: Number(id), value }),
      (error) => say({ fault: `${command}: ${String(error)}` }),
    )
  }
}

run().catch((error: unknown) => {
  const { code, message } = error as { code?: string; message?: string }
  say({ failure: code ?? message ?? String(error) })
})
