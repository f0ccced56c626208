// `serve` and `check`: the two commands that take a config.

import type { GatewayConfig } from '../config/config.js'
import { GatewayConfigError } from '../config/config-problem.js'
import { loadGatewayConfig } from '../config/load-config.js'
import { Guard } from '../guard.js'
import type { Gateway } from '../server/gateway.js'
import { GatewayStartError } from '../server/start-error.js'
import { checkGatewayConfig, startGateway } from '../server/start-gateway.js'
import { type Command, EXIT_FAILURE, EXIT_OK, parseCommandLine, requireOption, type Streams } from './command.js'
import { CHECK_HELP, SERVE_HELP } from './help.js'

/** How long tunnels may go on after the first signal: supervisors kill after 10 to 30 seconds. */
const GRACE_MS = 10_000

/** How long what was said last may take to be read, once everything else is done. */
const LAST_WORDS_MS = 1_000

const OPTIONS = { config: { type: 'string', short: 'c' }, help: { type: 'boolean', short: 'h' } } as const

export const serve: Command = async (args, streams) => {
  const { config: file, help } = parseCommandLine('serve', args, OPTIONS)
  if (help === true) return printHelp(streams, SERVE_HELP)
  const name = requireOption('serve', 'config', file)
  const say = (message: string) => streams.err(`ccr-upstream-gateway: ${message}\n`)
  return withConfig(name, streams, async (config) => {
    const gateway = await startGateway(config, { warn: say })
    const stopped = closeOnSignal(gateway)
    reloadOnSignal(gateway, name, streams, say)
    say(`listening on ${gateway.url}`)
    await stopped
    // Node ends when stderr has been read, which may be never.
    setTimeout(() => process.exit(), LAST_WORDS_MS).unref()
  })
}

export const check: Command = async (args, streams) => {
  const { config: file, help } = parseCommandLine('check', args, OPTIONS)
  if (help === true) return printHelp(streams, CHECK_HELP)
  const name = requireOption('check', 'config', file)
  return withConfig(name, streams, async (config) => {
    await checkGatewayConfig(config)
    streams.out(`${name}: ok\n`)
  })
}

function printHelp(streams: Streams, help: string): number {
  streams.out(help)
  return EXIT_OK
}

/** Runs `use` with the config; what is wrong with it, or with starting, is one line each on stderr. */
async function withConfig(
  file: string,
  streams: Streams,
  use: (config: GatewayConfig) => Promise<void>,
): Promise<number> {
  try {
    await use(loadGatewayConfig(file, streams.env))
    return EXIT_OK
  } catch (error) {
    const problem = describeConfigProblem(error)
    if (problem === undefined) throw error
    streams.err(`${problem}\n`)
    return EXIT_FAILURE
  }
}

/** File, line, key and what is wrong, a line each; undefined when the config is not to blame. */
function describeConfigProblem(error: unknown): string | undefined {
  if (error instanceof GatewayConfigError) return error.message
  if (error instanceof GatewayStartError) return `${error.location}: ${error.key}: ${error.message}`
  return undefined
}

/** SIGHUP: the audit's file is opened anew, and the config taken if it is good. */
function reloadOnSignal(gateway: Gateway, file: string, streams: Streams, say: (message: string) => void): void {
  const guard = new Guard(() => say('not reloaded, the gateway failed'))
  guard.on(process, 'SIGHUP', () => {
    gateway
      .reopenAudit()
      .catch((error: NodeJS.ErrnoException) => say(`the audit cannot be opened anew (${error.code})`))
    reload(gateway, file, streams.env).then(
      () => say('reloaded'),
      (error: Error) => {
        const problem = describeConfigProblem(error) ?? error.message
        streams.err(`${problem}\nccr-upstream-gateway: not reloaded, the config before stays in use\n`)
      },
    )
  })
}

async function reload(gateway: Gateway, file: string, env: Streams['env']): Promise<void> {
  let config: GatewayConfig
  try {
    config = loadGatewayConfig(file, env)
  } catch (error) {
    gateway.noteFailedReload()
    throw error
  }
  await gateway.reload(config)
}

/** Resolves when a signal came and the gateway is closed. */
function closeOnSignal(gateway: Gateway): Promise<void> {
  return new Promise((resolve, reject) => {
    let signals = 0
    const onSignal = () => {
      signals++
      gateway.close({ graceMs: signals === 1 ? GRACE_MS : 0 }).then(resolve, reject)
    }
    const guard = new Guard(reject)
    guard.on(process, 'SIGTERM', onSignal)
    guard.on(process, 'SIGINT', onSignal)
  })
}
