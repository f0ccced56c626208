// Ways into this process that the kernel does not guard: what the runtime was told to open or to print when it started.
// They are looked for before the token is read; what can be closed is closed, the rest keeps the proxy off.

import { close as closeInspector, url as inspectorUrl } from 'node:inspector'
import { join } from 'node:path'
import { UpstreamProxyError } from '../errors.js'
import { readForeignFile } from '../foreign-file.js'
import type { Environment } from './environment.js'

/** How this process was started. */
export interface Start {
  /** Options of the runtime itself, without the script. */
  readonly runtimeArguments: readonly string[]
  readonly environment: Environment
  /** undefined: it was removed. */
  readonly workingDirectory: string | undefined
  readonly isBun: boolean
}

/** The start of this process. */
export function thisStart(): Start {
  return {
    runtimeArguments: process.execArgv,
    environment: process.env,
    workingDirectory: findWorkingDirectory(),
    // Two ways, for a bunfig.toml may redefine what one of them looks at.
    isBun: 'Bun' in globalThis || Reflect.has(process.versions, 'bun'),
  }
}

/** getcwd(3) fails where the folder was removed, which is no obstacle to most of what a program does. */
function findWorkingDirectory(): string | undefined {
  try {
    return process.cwd()
  } catch {
    return undefined
  }
}

/**
 * Makes sure that nothing in `start` lets others look inside, or makes the runtime write secrets.
 * @throws {UpstreamProxyError} `debugger-open`, `dump-enabled`, `debug-output` or `working-directory-unsafe`
 */
export function assertNoOpenDoor(start: Start): void {
  assertNoDebugger(start)
  assertNoDumps(start)
  assertNoDebugOutput(start)
  if (start.isBun) assertNoFilesOfBun(start)
}

/** As Node reads them: NODE_OPTIONS may quote and escape, and an underscore is as good as a dash (node(1)). */
function optionsOf({ runtimeArguments, environment, isBun }: Start): string[] {
  const inherited = (isBun ? environment.BUN_OPTIONS : environment.NODE_OPTIONS) ?? ''
  const words = inherited.replace(/["'\\]/g, '').split(/\s+/)
  return [...runtimeArguments, ...words].map((option) => (option.split('=')[0] as string).replaceAll('_', '-'))
}

/**
 * Makes sure that no debugger has been opened since: a SIGUSR1 from before the handler takes a moment to have its effect.
 * @throws {UpstreamProxyError} `debugger-open`, and then it is closed
 */
export function assertInspectorClosed(): void {
  if (inspectorUrl() === undefined) return
  closeInspector()
  throw new UpstreamProxyError('debugger-open', 'the inspector was open')
}

function assertNoDebugger(start: Start): void {
  if (inspectorUrl() !== undefined) throw new UpstreamProxyError('debugger-open', 'the inspector is open')
  // Bun opens its inspector without a word, and node:inspector does not know of it.
  const variable = start.isBun && Object.keys(start.environment).find((name) => name.startsWith('BUN_INSPECT'))
  if (variable) throw new UpstreamProxyError('debugger-open', `${variable} is set`)
  const option = start.isBun && optionsOf(start).find((name) => name.startsWith('--inspect'))
  if (option) throw new UpstreamProxyError('debugger-open', `${option} is given`)
}

/** Heap snapshots hold every string; a key log opens what was recorded of the connection to the gateway. */
const DUMP_OPTIONS = /^--(?:heapsnapshot-signal|heapsnapshot-near-heap-limit|heap-prof|tls-keylog|trace-tls)\b/

function assertNoDumps(start: Start): void {
  const option = optionsOf(start).find((name) => DUMP_OPTIONS.test(name))
  if (option !== undefined) {
    throw new UpstreamProxyError('dump-enabled', `the runtime was started with ${option}`)
  }
  // A report on a signal holds the environment, and its file can be read by all.
  if (process.report !== undefined) process.report.reportOnSignal = false
}

/** Node's modules that print request headers, and so the token, when NODE_DEBUG names them. */
const TALKATIVE_MODULES = ['http', 'https', 'net', 'stream', 'tls'] as const

/** NODE_DEBUG is a list of names in any case, in which `*` stands for any letters (https://nodejs.org/api/util.html). */
function namesTalkativeModule(list: string): boolean {
  return list.split(/[\s,]+/).some((entry) => {
    const pattern = entry.replace(/[^\w*]/g, '').replaceAll('*', '.*')
    return TALKATIVE_MODULES.some((name) => new RegExp(`^${pattern}$`, 'i').test(name))
  })
}

function assertNoDebugOutput({ environment, isBun }: Start): void {
  if (isBun && environment.BUN_CONFIG_VERBOSE_FETCH) {
    throw new UpstreamProxyError('debug-output', 'BUN_CONFIG_VERBOSE_FETCH is set: it prints request headers')
  }
  if (!isBun && namesTalkativeModule(environment.NODE_DEBUG ?? '')) {
    throw new UpstreamProxyError('debug-output', 'NODE_DEBUG names a module that prints request headers')
  }
}

/** Variables that decide where the token goes or what code runs beside it. Bun takes `NAME: value` as well. */
const DECISIVE_VARIABLE =
  /^\s*(?:export\s+)?((?:CCR_|CLAUDE_CODE_|BUN_|NODE_)\w*|ANTHROPIC_BASE_URL|https?_proxy|no_proxy|SSL_CERT_\w+)\s*[=:]/im

/** Bun takes one of the modes from NODE_ENV, and `development` for every word that it does not know. */
const ENVIRONMENT_FILES = ['', '.development', '.production', '.test'].flatMap((mode) => [
  `.env${mode}`,
  `.env${mode}.local`,
])

/** Bun runs code that ./bunfig.toml names and takes variables from ./.env: the agent's folder would decide. */
function assertNoFilesOfBun({ runtimeArguments, workingDirectory }: Start): void {
  const readHere = (name: string): string => readFileOfBun(workingDirectory, name)
  const hasOwnConfig = runtimeArguments.some((name) => /^(?:--config|-c)\b/.test(name))
  const key = hasOwnConfig ? undefined : decisiveKey(readHere('bunfig.toml'))
  if (key !== undefined) {
    throw new UpstreamProxyError('working-directory-unsafe', `bunfig.toml in the working directory has ${key}`)
  }
  if (runtimeArguments.includes('--no-env-file')) return
  for (const name of ENVIRONMENT_FILES) {
    const variable = DECISIVE_VARIABLE.exec(readHere(name))?.[1]
    if (variable === undefined) continue
    throw new UpstreamProxyError('working-directory-unsafe', `${name} in the working directory sets ${variable}`)
  }
}

/** Keys and tables of bunfig.toml that say nothing about a program that is running (https://bun.sh/docs/runtime/bunfig). */
const HARMLESS_KEY = /^(?:install|test|run|serve|console|telemetry|smol|logLevel|jsx\w*)$/

/** The first top-level key or table of a bunfig.toml that may change what code runs here. */
function decisiveKey(toml: string): string | undefined {
  let isTopLevel = true
  for (const line of toml.split('\n')) {
    const [, brackets, key] = /^\s*(\[*)\s*["']?([\w-]+)/.exec(line) ?? []
    if (key === undefined || !(isTopLevel || brackets)) continue
    if (!HARMLESS_KEY.test(key)) return key
    if (brackets) isTopLevel = false
  }
  return undefined
}

/** A thousand times what such files have. */
const MAX_BUN_FILE_BYTES = 1_048_576

/** The text of a file that Bun has read; '' where it found none. What could still become anything is refused. */
function readFileOfBun(folder: string | undefined, name: string): string {
  if (folder === undefined)
    throw new UpstreamProxyError(
      'working-directory-unsafe',
      `the working directory is gone, so that its ${name} cannot be looked at`,
    )
  const file = readForeignFile(join(folder, name), { maxBytes: MAX_BUN_FILE_BYTES })
  if (file.problem === undefined) return file.bytes.toString('utf8')
  if (file.problem !== 'not-regular' && file.problem !== 'too-large') return ''
  throw new UpstreamProxyError('working-directory-unsafe', `${name} in the working directory ${file.why}`)
}
