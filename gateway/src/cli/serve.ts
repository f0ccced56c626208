// `serve` and `check`: the two commands that take a config.

import { type GatewayConfig, loadGatewayConfig } from '../config.js'
import { GatewayConfigError } from '../config-problem.js'
import { checkGatewayConfig, type Gateway, GatewayStartError, startGateway } from '../gateway.js'
import { type Command, EXIT_FAILURE, EXIT_OK, parseCommandLine, requireOption, type Streams } from './command.js'
import { CHECK_HELP, SERVE_HELP } from './help.js'

/** How long tunnels may go on after the first signal: supervisors kill after 10 to 30 seconds. */
const GRACE_MS = 10_000

const OPTIONS = { config: { type: 'string', short: 'c' }, help: { type: 'boolean', short: 'h' } } as const

export const serve: Command = async (args, streams) => {
  const { config: file, help } = parseCommandLine('serve', args, OPTIONS)
  if (help === true) return printHelp(streams, SERVE_HELP)
  return withConfig(requireOption('serve', 'config', file), streams, async (config) => {
    const gateway = await startGateway(config, { warn: (message) => streams.err(`ccr-upstream-gateway: ${message}\n`) })
    const stopped = closeOnSignal(gateway)
    streams.err(`ccr-upstream-gateway: listening on ${gateway.url}\n`)
    await stopped
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
    if (error instanceof GatewayConfigError) streams.err(`${error.message}\n`)
    else if (error instanceof GatewayStartError) streams.err(`${file}: ${error.key}: ${error.message}\n`)
    else throw error
    return EXIT_FAILURE
  }
}

/** Resolves when a signal came and the gateway is closed. */
function closeOnSignal(gateway: Gateway): Promise<void> {
  return new Promise((resolve, reject) => {
    let signals = 0
    const onSignal = () => {
      signals++
      gateway.close({ graceMs: signals === 1 ? GRACE_MS : 0 }).then(resolve, reject)
    }
    process.on('SIGTERM', onSignal)
    process.on('SIGINT', onSignal)
  })
}
