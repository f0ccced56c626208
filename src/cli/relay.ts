// `relay`: the relay alone, for a sidecar or a supervisor. Its environment is the first line of standard output.

import { initUpstreamProxy } from '../init.js'
import { parseOptions, UsageError } from './arguments.js'
import { RELAY_USAGE } from './help.js'
import { exitCodeOf, onSignals } from './signals.js'

const END_SIGNALS: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGINT', 'SIGHUP']

/** Runs `ccr-upstream-proxy relay`; resolves to the exit code when it was told to end. */
export async function relayCommand(args: readonly string[]): Promise<number> {
  const options = parseOptions(args, {
    json: { type: 'boolean' },
    port: { type: 'string' },
    help: { type: 'boolean', short: 'h' },
  })
  if (options.help) {
    process.stdout.write(RELAY_USAGE)
    return 0
  }
  const port = parsePort(options.port)
  const ended = untilSignal()
  const proxy = await initUpstreamProxy({ port })
  if (!proxy.enabled) {
    process.stdout.write(`${JSON.stringify({ enabled: false, code: proxy.code, reason: proxy.reason })}\n`)
    return 3
  }
  process.stdout.write(`${options.json ? asJson(proxy.port, proxy.env) : asExports(proxy.env)}\n`)
  await ended
  await proxy.close()
  return 0
}

function parsePort(text: string | undefined): number {
  if (text === undefined) return 0
  if (/^(?:0|[1-9][0-9]{0,4})$/.test(text) && Number(text) <= 65_535) return Number(text)
  throw new UsageError('--port takes a number from 0 to 65535')
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

/** One line, so that a reader of the first line has all of it: `export A='1'; export B='2'`. */
function asExports(env: Readonly<Record<string, string>>): string {
  return Object.entries(env)
    .map(([name, value]) => `export ${name}='${value.replaceAll("'", "'\\''")}'`)
    .join('; ')
}
