#!/usr/bin/env node
// The command line: which command, and what its end means as an exit code. Only errors and warnings go to stderr.

import { readFileSync } from 'node:fs'
import { systemCode } from '../errors.js'
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
  if (name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(USAGE)
    return 0
  }
  if (name === '--version') {
    process.stdout.write(`${readVersion()}\n`)
    return 0
  }
  const load = name === undefined || !Object.hasOwn(COMMANDS, name) ? undefined : COMMANDS[name]
  if (load !== undefined) return (await load())(args)
  throw new UsageError(name === undefined ? 'a command is missing' : `there is no command ${name}`)
}

function readVersion(): string {
  const file = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(file) as { version: string }).version
}

// A reader that has seen enough (`doctor | head`) is no failure of ours. Node tells it by an event, Bun by a throw.
process.stdout.on('error', endOnBrokenPipe)
// What cannot be reported fails nothing of what was asked for.
process.stderr.on('error', () => {})

function endOnBrokenPipe(error: unknown): never {
  if (systemCode(error) !== 'EPIPE') throw error
  process.exit()
}

process.exitCode = await main(process.argv.slice(2)).catch(exitCodeOfError)
await Promise.all([process.stdout, process.stderr].map(written))
// Not when everything that is under way has ended: a connection that is being opened, or a question to a silent name server,
// cannot be taken back everywhere.
process.exit()

function exitCodeOfError(error: unknown): number {
  if (!(error instanceof UsageError)) return endOnBrokenPipe(error)
  process.stderr.write(`ccr-upstream-proxy: ${error.message}; see ccr-upstream-proxy --help\n`)
  return 2
}

/** When the system has taken what was written so far. */
function written(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => stream.write('', () => resolve()))
}
