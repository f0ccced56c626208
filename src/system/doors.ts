// Ways into this process that the kernel does not guard: what the runtime was told to open or to print when it started.
// They are looked for before the token is read; what can be closed is closed, the rest keeps the proxy off.

import { readFileSync } from 'node:fs'
import { url as inspectorUrl } from 'node:inspector'
import { join } from 'node:path'
import { UpstreamProxyError } from '../errors.js'
import type { Environment } from './settings.js'

/** How this process was started. */
export interface Start {
  /** Options of the runtime itself, without the script. */
  readonly runtimeArguments: readonly string[]
  readonly environment: Environment
  readonly workingDirectory: string
  readonly isBun: boolean
}

/** The start of this process. */
export function thisStart(): Start {
  return {
    runtimeArguments: process.execArgv,
    environment: process.env,
    workingDirectory: process.cwd(),
    isBun: process.versions.bun !== undefined,
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

function optionsOf({ runtimeArguments, environment, isBun }: Start): string[] {
  const inherited = isBun ? environment.BUN_OPTIONS : environment.NODE_OPTIONS
  return [...runtimeArguments, ...(inherited?.split(/\s+/) ?? [])]
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
    throw new UpstreamProxyError('dump-enabled', `the runtime was started with ${option.split('=')[0]}`)
  }
  // A report on a signal holds the environment, and its file can be read by all.
  if (process.report !== undefined) process.report.reportOnSignal = false
}

/** Node's modules that print request headers, and so the token, when NODE_DEBUG names them. */
const TALKATIVE_MODULES = /(?:^|[\s,])(?:\*|http|https|net|tls|stream)(?:$|[\s,])/i

function assertNoDebugOutput({ environment, isBun }: Start): void {
  if (isBun && environment.BUN_CONFIG_VERBOSE_FETCH) {
    throw new UpstreamProxyError('debug-output', 'BUN_CONFIG_VERBOSE_FETCH is set: it prints request headers')
  }
  if (!isBun && TALKATIVE_MODULES.test(environment.NODE_DEBUG ?? '')) {
    throw new UpstreamProxyError('debug-output', 'NODE_DEBUG names a module that prints request headers')
  }
}

/** Variables that decide where the token goes or what code runs beside it. */
const DECISIVE_VARIABLE =
  /^\s*(?:export\s+)?((?:CCR_|CLAUDE_CODE_|BUN_|NODE_)\w*|ANTHROPIC_BASE_URL|https?_proxy|no_proxy|SSL_CERT_\w+)\s*=/im

/** Bun runs the preloads of ./bunfig.toml and takes variables from ./.env: the agent's folder would decide. */
function assertNoFilesOfBun({ runtimeArguments, environment, workingDirectory }: Start): void {
  const readHere = (name: string): string => readOrEmpty(join(workingDirectory, name))
  const hasOwnConfig = runtimeArguments.some((name) => /^(?:--config|-c)\b/.test(name))
  if (!hasOwnConfig && /^\s*preload\s*=/m.test(readHere('bunfig.toml'))) {
    throw new UpstreamProxyError('working-directory-unsafe', 'bunfig.toml in the working directory has preloads')
  }
  if (runtimeArguments.includes('--no-env-file')) return
  const mode = environment.NODE_ENV || 'development'
  for (const name of ['.env', `.env.${mode}`, '.env.local']) {
    const variable = DECISIVE_VARIABLE.exec(readHere(name))?.[1]
    if (variable === undefined) continue
    throw new UpstreamProxyError('working-directory-unsafe', `${name} in the working directory sets ${variable}`)
  }
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
