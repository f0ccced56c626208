// `env`: the environment of a relay that is running, for shells and tools that were started without it.

import { UpstreamProxyError } from '../errors.js'
import { runtime } from '../runtime/select.js'
import { createChildEnvironment } from '../system/children/child-env.js'
import { type RelayRecord, readRelayRecords } from '../system/relay-record.js'
import { parseOptions, parsePort, UsageError } from './arguments.js'
import { ENVIRONMENT_FORMATS, type EnvironmentFormat, formatEnvironment } from './environment-formats.js'
import { ENV_USAGE } from './help.js'

/** A relay on loopback answers at once. */
const ANSWER_TIMEOUT_MS = 2_000

/** Runs `ccr-upstream-proxy env`; resolves to the exit code. */
export async function envCommand(args: readonly string[]): Promise<number> {
  const options = parseOptions(args, {
    format: { type: 'string' },
    port: { type: 'string' },
    help: { type: 'boolean', short: 'h' },
  })
  if (options.help) {
    process.stdout.write(ENV_USAGE)
    return 0
  }
  const format = parseFormat(options.format ?? 'sh')
  const record = await findRelay(options.port === undefined ? undefined : parsePort(options.port))
  if (record === undefined) {
    const { code, message, hint } = new UpstreamProxyError('relay-not-found', 'no relay of this user is running')
    process.stderr.write(`ccr-upstream-proxy: error [${code}] ${message}; hint: ${hint}\n`)
    return 3
  }
  process.stdout.write(`${formatEnvironment(createChildEnvironment(record.targets, process.env), format)}\n`)
  return 0
}

function parseFormat(text: string): EnvironmentFormat {
  const format = ENVIRONMENT_FORMATS.find((known) => known === text)
  if (format !== undefined) return format
  throw new UsageError(`--format takes one of ${ENVIRONMENT_FORMATS.join(', ')}`)
}

/** The relay that was started last, or the one on `port`. */
async function findRelay(port: number | undefined): Promise<RelayRecord | undefined> {
  for (const record of readRelayRecords()) {
    if ((port === undefined || record.port === port) && (await isRunning(record))) return record
  }
  return undefined
}

/** Whether a relay answers there: one that was killed leaves its record behind, and its port to somebody else. */
async function isRunning({ port }: RelayRecord): Promise<boolean> {
  const route = { trust: runtime.createTrust(undefined), egress: undefined, egressTimeoutMs: ANSWER_TIMEOUT_MS }
  const limits = { timeoutMs: ANSWER_TIMEOUT_MS, maxBytes: 4_096 }
  try {
    const { body } = await runtime.download(new URL(`http://127.0.0.1:${port}/`), route, limits)
    return (JSON.parse(Buffer.from(body).toString('utf8')) as { hop?: unknown }).hop === 'relay'
  } catch {
    return false
  }
}
