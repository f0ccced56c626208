// `relay`: the relay alone, for a sidecar or a supervisor. Its environment is the first line of standard output.

import { initUpstreamProxy } from '../init.js'
import { parseOptions, parsePort } from './arguments.js'
import { formatExportLine } from './environment-formats.js'
import { RELAY_USAGE } from './help.js'
import { exitCodeOf, onSignals } from './signals.js'

const END_SIGNALS: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGINT', 'SIGHUP']

/** Runs `ccr-upstream-proxy relay`; resolves to the exit code when it was told to end. */
export async function relayCommand(args: readonly string[]): Promise<number> {
  const options = parseOptions(args, {
    json: { type: 'boolean' },
    port: { type: 'string' },
    log: { type: 'string' },
    help: { type: 'boolean', short: 'h' },
  })
  if (options.help) {
    process.stdout.write(RELAY_USAGE)
    return 0
  }
  const port = options.port === undefined ? 0 : parsePort(options.port)
  const ended = untilSignal()
  const tunnelLog = options.log === undefined ? {} : { tunnelLog: options.log }
  // Nothing here blocks the event loop.
  const proxy = await initUpstreamProxy({ port, thread: 'main', ...tunnelLog })
  if (!proxy.enabled) {
    process.stdout.write(`${JSON.stringify({ enabled: false, code: proxy.code, reason: proxy.reason })}\n`)
    return 3
  }
  process.stdout.write(`${options.json ? asJson(proxy.port, proxy.env) : formatExportLine(proxy.env)}\n`)
  await ended
  await proxy.close()
  return 0
}

/** The first signal ends the relay in order, a second one at once. */
function untilSignal(): Promise<void> {
  return new Promise((resolve) => {
    let asked = false
    onSignals(END_SIGNALS, (signal) => {
      if (asked) process.exit(exitCodeOf(signal))
      asked = true
      resolve()
    })
  })
}

function asJson(port: number, env: Readonly<Record<string, string>>): string {
  return JSON.stringify({ enabled: true, port, env })
}
