// What is wrong with a config file, said so that it can be found: file, line, key, and what is allowed. The text of the
// file is never quoted, because a secret may stand in it.

import { isMap, isSeq, type LineCounter, type Document as YamlDocument } from 'yaml'
import { SecretError } from '../credentials/secrets/secret-source.js'

/** Where in the config: map keys and list indices from the top. */
export type ConfigPath = readonly (string | number)[]

/** One thing that is wrong. */
export interface ConfigProblem {
  readonly path: ConfigPath
  /** What is allowed there, or what failed; no value of the file. */
  readonly message: string
}

/** A config that cannot be used. `message` has one line for each problem: `file:line: key: what is allowed`. */
export class GatewayConfigError extends Error {
  override readonly name = 'GatewayConfigError'
  readonly file: string
  readonly problems: readonly (ConfigProblem & { readonly line: number })[]

  constructor(file: string, problems: readonly (ConfigProblem & { readonly line: number })[]) {
    super(problems.map((problem) => formatProblem(file, problem)).join('\n'))
    this.file = file
    this.problems = problems
  }
}

function formatProblem(file: string, { path, line, message }: ConfigProblem & { readonly line: number }): string {
  const key = formatPath(path)
  return `${file}:${line}: ${key === '' ? '' : `${key}: `}${message}`
}

/** `hosts."api.example.com"[0].match.path` */
export function formatPath(path: ConfigPath): string {
  return path
    .map((part) => {
      if (typeof part === 'number') return `[${part}]`
      return /^[A-Za-z_][\w-]*$/.test(part) ? `.${part}` : `.${JSON.stringify(part)}`
    })
    .join('')
    .replace(/^\./, '')
}

/** The line on which the thing at `path` stands, or the nearest thing around it that is there. */
export function lineOf(document: YamlDocument, lines: LineCounter, path: ConfigPath): number {
  for (let length = path.length; length > 0; length--) {
    const offset = offsetOf(document, path.slice(0, length))
    if (offset !== undefined) return lines.linePos(offset).line
  }
  return 1
}

/** Of a map's entry, the key is what a reader looks for. */
function offsetOf(document: YamlDocument, path: ConfigPath): number | undefined {
  const parent = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true)
  const last = path.at(-1)
  if (isMap(parent)) {
    const pair = parent.items.find(({ key }) => String(key) === String(last))
    return startOf(pair?.key)
  }
  return isSeq(parent) ? startOf(parent.items[Number(last)]) : undefined
}

function startOf(node: unknown): number | undefined {
  const range = (node as { range?: readonly number[] | null } | null | undefined)?.range
  return range?.[0]
}

/** Collects problems, so that all of them are said at once. */
export class ConfigProblems {
  readonly list: ConfigProblem[] = []

  report(path: ConfigPath, message: string): void {
    this.list.push({ path, message })
  }

  /** The value of `read`; when a secret or a file cannot be had, a problem at `path` and undefined. */
  attempt<T>(path: ConfigPath, read: () => T): T | undefined {
    try {
      return read()
    } catch (error) {
      if (!(error instanceof SecretError)) throw error
      this.report(path, error.message)
      return undefined
    }
  }
}
