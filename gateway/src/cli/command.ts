// What every command has in common: its streams, its arguments, and how wrong usage is said.

import { type ParseArgsConfig, parseArgs } from 'node:util'

/** Where a command reads and writes. */
export interface Streams {
  readonly stdin: NodeJS.ReadStream
  /** Results only. */
  readonly out: (text: string) => void
  /** Everything else. */
  readonly err: (text: string) => void
  readonly env: NodeJS.ProcessEnv
}

/** Runs a command with the arguments behind its name; resolves with the exit code. */
export type Command = (args: readonly string[], streams: Streams) => Promise<number>

export const EXIT_OK = 0
export const EXIT_FAILURE = 1
export const EXIT_USAGE = 2

/** The command line is wrong. `command` is whose help to look at. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
  readonly command: string

  constructor(command: string, message: string) {
    super(message)
    this.command = command
  }
}

type OptionTable = NonNullable<ParseArgsConfig['options']>

/** The values that `parseArgs` finds for a table of options. */
export type OptionValues<T extends OptionTable> = ReturnType<
  typeof parseArgs<{ args: string[]; options: T; allowPositionals: false; strict: true }>
>['values']

/** `parseArgs`, strict, with its complaints as usage errors. */
export function parseCommandLine<T extends OptionTable>(
  command: string,
  args: readonly string[],
  options: T,
): OptionValues<T> {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: false, strict: true }).values
  } catch (error) {
    throw new UsageError(command, (error as Error).message)
  }
}

/** The value of an option that must be given. */
export function requireOption(command: string, name: string, value: string | undefined): string {
  if (value === undefined || value === '') throw new UsageError(command, `--${name} is missing`)
  return value
}
