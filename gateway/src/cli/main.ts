#!/usr/bin/env node
// Entry of the command line: picks the command, turns what it throws into a message and an exit code.

import { readFileSync } from 'node:fs'
import { type Command, EXIT_FAILURE, EXIT_OK, EXIT_USAGE, type Streams, UsageError } from './command.js'
import { MAIN_HELP } from './help.js'

/** Loaded when called: the certificate library alone takes a third of a second. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  serve: async () => (await import('./serve.js')).serve,
  check: async () => (await import('./serve.js')).check,
  token: async () => (await import('./token.js')).token,
  ca: async () => (await import('./ca.js')).ca,
}

const streams: Streams = {
  stdin: process.stdin,
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  env: process.env,
}

async function main([name, ...args]: readonly string[]): Promise<number> {
  if (name === '--help' || name === '-h' || name === 'help') {
    streams.out(MAIN_HELP)
    return EXIT_OK
  }
  if (name === '--version') {
    streams.out(`${readVersion()}\n`)
    return EXIT_OK
  }
  const load = Object.hasOwn(COMMANDS, name ?? '') ? COMMANDS[name as string] : undefined
  if (load === undefined) throw new UsageError('', name === undefined ? 'a command is missing' : 'no such command')
  const command = await load()
  return command(args, streams)
}

function readVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  return version
}

function onFailure(error: unknown): number {
  if (error instanceof UsageError) {
    const help = ['ccr-upstream-gateway', error.command, '--help'].filter((word) => word !== '').join(' ')
    streams.err(`ccr-upstream-gateway: ${error.message}\nhint: ${help} shows what there is\n`)
    return EXIT_USAGE
  }
  streams.err(`ccr-upstream-gateway: ${(error as Error).message}\n`)
  return EXIT_FAILURE
}

process.exitCode = await main(process.argv.slice(2)).catch(onFailure)
