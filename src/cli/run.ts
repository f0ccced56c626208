// `run`: one command with the proxy's environment. Everything that CMD does is its own: terminal, signals, exit code.

import { type ChildProcess, spawn } from 'node:child_process'
import { setTimeout as passed } from 'node:timers/promises'
import { systemCode, UpstreamProxyError } from '../errors.js'
import { initWithin, type UpstreamProxy } from '../init.js'
import { formatEntry } from '../log.js'
import { resolveLogLevel } from '../system/settings.js'
import { parseOptions, splitCommand, UsageError } from './arguments.js'
import { RUN_USAGE } from './help.js'
import { dieBySignal, exitCodeOf, onSignals } from './signals.js'

/** What a terminal sends to the whole foreground group, CMD included, by itself. */
const TERMINAL_SIGNALS: readonly NodeJS.Signals[] = ['SIGINT', 'SIGQUIT']
const OTHER_SIGNALS: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2']

/** Milliseconds that the proxy gets to be closed: the caller waits for CMD, and a disk that hangs is not CMD's. */
const CLOSE_TIMEOUT_MS = 1_500

/**
 * Milliseconds for the gateway to accept a connection, or CMD runs without the proxy. A lost first packet is sent again after one
 * second (RFC 6298, section 2), and has another second to arrive and be answered.
 */
const REACH_TIMEOUT_MS = 2_000

/** POSIX, "Exit Status for Commands": there is no such file. The last is what Node says of an empty name. */
const NOT_FOUND = ['ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG', 'ERR_INVALID_ARG_VALUE']

/** The end of CMD. */
type Outcome = { readonly exitCode: number } | { readonly signal: NodeJS.Signals }

/** Runs `ccr-upstream-proxy run`; resolves to the exit code. */
export async function runCommand(args: readonly string[]): Promise<number> {
  const { own, command } = splitCommand(args, ['--log'])
  const options = parseOptions(own, {
    require: { type: 'boolean' },
    log: { type: 'string' },
    help: { type: 'boolean', short: 'h' },
  })
  if (options.help) {
    process.stdout.write(RUN_USAGE)
    return 0
  }
  if (command === undefined) throw new UsageError('run needs a command')

  const forwarder = new SignalForwarder()
  // Nothing here blocks the event loop.
  const proxy = await initWithin(options.require ? undefined : REACH_TIMEOUT_MS, {
    thread: 'main',
    ...(options.log === undefined ? {} : { tunnelLog: options.log }),
  })
  if (!proxy.enabled && options.require) return refuseToRun(proxy)
  if (!proxy.enabled && proxy.code === 'guard-off') warnOfGuard(proxy)
  const outcome = await runChild(command, proxy, forwarder)
  await Promise.race([proxy.close(0), passed(CLOSE_TIMEOUT_MS)])
  forwarder.stop()
  return 'exitCode' in outcome ? outcome.exitCode : dieBySignal(outcome.signal)
}

/** Passes signals on to CMD; before there is one, they end this program in order. */
class SignalForwarder {
  readonly #stop: () => void
  #child: ChildProcess | undefined

  constructor() {
    this.#stop = onSignals([...TERMINAL_SIGNALS, ...OTHER_SIGNALS], (signal) => this.#onSignal(signal))
  }

  to(child: ChildProcess): void {
    this.#child = child
  }

  stop(): void {
    this.#stop()
  }

  #onSignal(signal: NodeJS.Signals): void {
    if (this.#child === undefined) process.exit(exitCodeOf(signal))
    const hasTerminal = process.stdin.isTTY === true || process.stdout.isTTY === true || process.stderr.isTTY === true
    if (hasTerminal && TERMINAL_SIGNALS.includes(signal)) return
    this.#child.kill(signal)
  }
}

function runChild(
  [file, ...args]: [string, ...string[]],
  proxy: UpstreamProxy,
  forwarder: SignalForwarder,
): Promise<Outcome> {
  return new Promise((resolve) => {
    const onError = (error: unknown): void => resolve({ exitCode: reportFailure(file, error) })
    // Which errors are thrown and which are emitted differs between runtimes.
    try {
      const child = spawn(file, args, { stdio: 'inherit', env: proxy.childEnvironment() })
      forwarder.to(child)
      child.once('error', onError)
      child.once('exit', (code, signal) => resolve(signal === null ? { exitCode: code ?? 1 } : { signal }))
    } catch (error) {
      onError(error)
    }
  })
}

/** Says why there is no CMD; returns what a shell would. */
function reportFailure(file: string, error: unknown): 126 | 127 {
  const isMissing = NOT_FOUND.includes(systemCode(error))
  const [code, what] = isMissing
    ? (['command-not-found', 'was not found'] as const)
    : (['command-not-runnable', 'cannot be run'] as const)
  reportError(new UpstreamProxyError(code, `${file} ${what} (${systemCode(error)})`))
  return isMissing ? 127 : 126
}

function reportError({ code, message, hint }: Pick<UpstreamProxyError, 'code' | 'message' | 'hint'>): void {
  process.stderr.write(`${formatEntry({ level: 'error', code, message, hint })}\n`)
}

function refuseToRun(proxy: UpstreamProxy & { enabled: false }): number {
  reportError({ ...proxy, message: proxy.reason })
  return 3
}

/** The library is silent about the guard; somebody who calls `run` by hand is not left to wonder. */
function warnOfGuard(proxy: UpstreamProxy & { enabled: false }): void {
  if (!['warn', 'info', 'debug'].includes(resolveLogLevel({}, process.env))) return
  const { code, hint } = new UpstreamProxyError(proxy.code, proxy.reason)
  process.stderr.write(`${formatEntry({ level: 'warn', code, message: proxy.reason, hint })}\n`)
}
