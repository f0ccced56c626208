#!/usr/bin/env node
// The command line: which command, and what its end means as an exit code. Only errors and warnings go to stderr.

import { readFileSync } from 'node:fs'
import { systemCode } from '../errors.js'
import { nearestName } from '../nearest-name.js'
import { UsageError } from './arguments.js'
import { USAGE } from './help.js'

type Command = (args: readonly string[]) => Promise<number>

/** Only the command that is called is loaded: what another one needs would cost `run` its time. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  run: async () => (await import('./run.js')).runCommand,
  relay: async () => (await import('./relay.js')).relayCommand,
  env: async () => (await import('./env.js')).envCommand,
  status: async () => (await import('./status.js')).statusCommand,
  top: async () => (await import('./top.js')).topCommand,
  doctor: async () => (await import('./doctor.js')).doctorCommand,
  'install-ca': async () => (await import('./install-ca.js')).installCaCommand,
  'uninstall-ca': async () => (await import('./install-ca.js')).uninstallCaCommand,
}

async function main([name, ...args]: readonly string[]): Promise<number> {
  if (name === 'help' && args.length > 0) return main([...args.slice(0, 1), '--help'])
  if (name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(USAGE)
    return 0
  }
  if (name === '--version') {
    process.stdout.write(`${await describeVersion()}\n`)
    return 0
  }
  const load = findCommand(name)
  if (load !== undefined) return (await load())(args)
  if (name === undefined) throw new UsageError('a command is missing')
  const nearest = nearestName(name, Object.keys(COMMANDS))
  throw new UsageError(`there is no command ${name}${nearest === undefined ? '' : `; there is ${nearest}`}`)
}

function findCommand(name = ''): (() => Promise<Command>) | undefined {
  return Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
}

/** The version first, for programs; then what a report of a fault needs. */
async function describeVersion(): Promise<string> {
  const file = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  const { version } = JSON.parse(file) as { version: string }
  const { loadAddon } = await import('../addon.js')
  const runtime = process.versions.bun === undefined ? `Node ${process.versions.node}` : `Bun ${process.versions.bun}`
  const addon = loadAddon().addon === undefined ? 'no addon' : 'addon loaded'
  return `${version} (${runtime}, ${process.platform}-${process.arch}, ${addon})`
}

// A reader that has seen enough (`doctor | head`) is no failure of ours. Node tells it by an event, Bun by a throw.
process.stdout.on('error', endOnBrokenPipe)
// What cannot be reported fails nothing of what was asked for.
process.stderr.on('error', () => {})

function endOnBrokenPipe(error: unknown): never {
  if (systemCode(error) !== 'EPIPE') throw error
  process.exit()
}

const args = process.argv.slice(2)
process.exitCode = await main(args).catch(exitCodeOfError)
await Promise.all([process.stdout, process.stderr].map(written))
// Not when everything that is under way has ended: a connection that is being opened, or a question to a silent name server,
// cannot be taken back everywhere.
process.exit()

function exitCodeOfError(error: unknown): number {
  if (!(error instanceof UsageError)) return endOnBrokenPipe(error)
  const [name = ''] = args
  const command = findCommand(name) === undefined ? '' : ` ${name}`
  process.stderr.write(`ccr-upstream-proxy: ${error.message}; see ccr-upstream-proxy${command} --help\n`)
  return 2
}

/** When the system has taken what was written so far. */
function written(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => stream.write('', () => resolve()))
}
