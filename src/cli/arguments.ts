// Command-line arguments: node:util's parser, with its complaints turned into usage errors.

import { type ParseArgsConfig, parseArgs } from 'node:util'

/** The command was not called as its help says. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

export type OptionsConfig = NonNullable<ParseArgsConfig['options']>

/** What the options of a config come out as. */
export type OptionValues<T extends OptionsConfig> = {
  readonly [Name in keyof T]?: T[Name]['type'] extends 'boolean'
    ? boolean
    : T[Name] extends { multiple: true }
      ? readonly string[]
      : string
}

/**
 * The options of a command that takes no positional arguments.
 * @throws {UsageError}
 */
export function parseOptions<T extends OptionsConfig>(args: readonly string[], options: T): OptionValues<T> {
  try {
    const { values } = parseArgs({ args: [...args], options, allowPositionals: false, strict: true })
    return values as OptionValues<T>
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message.split(/\.\s/)[0] : 'the arguments are not understood')
  }
}

/**
 * Cuts `run`'s arguments at the command: after `--`, or at the first that is no option.
 * @param withValue options whose value may be the next argument
 */
export function splitCommand(
  args: readonly string[],
  withValue: readonly string[],
): { own: string[]; command: [string, ...string[]] | undefined } {
  const isValue = (at: number): boolean => withValue.includes(args[at - 1] ?? '')
  const first = args.findIndex((arg, at) => arg === '--' || !(arg.startsWith('-') || isValue(at)))
  if (first === -1) return { own: [...args], command: undefined }
  const [file, ...rest] = args.slice(args[first] === '--' ? first + 1 : first)
  return { own: args.slice(0, first), command: file === undefined ? undefined : [file, ...rest] }
}

/**
 * The value of `--port`.
 * @throws {UsageError}
 */
export function parsePort(text: string): number {
  if (/^(?:0|[1-9][0-9]{0,4})$/.test(text) && Number(text) <= 65_535) return Number(text)
  throw new UsageError('--port takes a number from 0 to 65535')
}
