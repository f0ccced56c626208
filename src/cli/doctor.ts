// `doctor`: its arguments, and its report for people or machines. What is looked at is in src/doctor/.

import type { Audience } from '../doctor/check.js'
import { CLIENT_NAMES } from '../doctor/client-table.js'
import { examine } from '../doctor/doctor.js'
import { parseOptions, UsageError } from './arguments.js'
import { Progress, TableReport } from './doctor-report.js'
import { DOCTOR_USAGE } from './help.js'
import { exitCodeOf, onSignals } from './signals.js'

/** Runs `ccr-upstream-proxy doctor`; resolves to the exit code. */
export async function doctorCommand(args: readonly string[]): Promise<number> {
  const options = parseOptions(args, {
    json: { type: 'boolean' },
    url: { type: 'string' },
    client: { type: 'string', multiple: true },
    help: { type: 'boolean', short: 'h' },
  })
  if (options.help) {
    process.stdout.write(DOCTOR_USAGE)
    return 0
  }
  const targetUrl = options.url === undefined ? undefined : parseTarget(options.url)
  const clientNames = options.client?.map(parseClient)
  const progress = new Progress(process.stderr)
  // What was started and written goes at the exit.
  const stop = onSignals(['SIGINT', 'SIGTERM', 'SIGHUP'], (signal) => {
    progress.clear()
    process.exit(exitCodeOf(signal))
  })
  const environment = { ...process.env }
  limitResolver()
  const table = options.json ? undefined : new TableReport(process.stdout, progress)
  const checks = await examine({ environment, targetUrl, clientNames, audience: table ?? silent(progress) })
  progress.clear()
  stop()
  const ok = !checks.some(({ status }) => status === 'fail')
  if (table !== undefined) table.conclude(checks)
  else process.stdout.write(`${JSON.stringify({ ok, checks })}\n`)
  return ok ? 0 : 1
}

/** An address that clients can be told to ask for. */
function parseTarget(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol !== 'https:' || url.username !== '' || url.password !== '') {
    throw new UsageError('--url takes an https:// address without a user name')
  }
  return url
}

function parseClient(name: string): string {
  if (CLIENT_NAMES.includes(name)) return name
  throw new UsageError(`--client takes one of: ${CLIENT_NAMES.join(', ')}`)
}

function silent(progress: Progress): Audience {
  return { begin: (id) => progress.show(id), end: () => progress.clear() }
}

/**
 * Node waits for the resolver even then, some thirty seconds where resolv.conf(5) says nothing. This is for this process
 * alone: the clients that are tried have what they would have.
 */
function limitResolver(): void {
  process.env.RES_OPTIONS ??= 'timeout:1 attempts:2'
}
