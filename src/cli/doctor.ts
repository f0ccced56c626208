// `doctor`: the steps of the start, one by one, each with what was seen and what to do about it. The token is read, used
// for a handshake with the gateway, and left where it is.

import { accessSync, constants } from 'node:fs'
import { dirname } from 'node:path'
import { type Addon, loadAddon } from '../addon.js'
import { asUpstreamProxyError, type ErrorCode, UpstreamProxyError } from '../errors.js'
import { createLogger, type LogEntry } from '../log.js'
import { Credential } from '../relay/credential.js'
import { DEFAULT_RELAY_LIMITS } from '../relay/limits.js'
import { startRelayOn } from '../relay/relay.js'
import type { Route } from '../runtime/runtime.js'
import { runtime } from '../runtime/select.js'
import { type Download, downloadGatewayCa } from '../system/certificates/gateway-ca.js'
import { formatCertificates } from '../system/certificates/pem.js'
import { readTrustedCertificates, type TrustedCertificates } from '../system/certificates/trusted-certificates.js'
import { egressTo, readContainerProxy } from '../system/egress.js'
import { findHardeningAddon, hardenProcess } from '../system/harden.js'
import { PrivateDirectory } from '../system/private-directory.js'
import { isEnabled, resolveSettings, type Settings } from '../system/settings.js'
import { readSessionToken, type SessionToken } from '../system/token.js'
import { parseOptions } from './arguments.js'
import { DOCTOR_USAGE } from './help.js'

/** One check, as `--json` prints it. */
interface Check {
  readonly id: string
  readonly status: 'pass' | 'warn' | 'fail' | 'skip'
  readonly code?: ErrorCode
  readonly seen?: string
  readonly hint?: string
}

/** Runs `ccr-upstream-proxy doctor`; resolves to the exit code. */
export async function doctorCommand(args: readonly string[]): Promise<number> {
  const options = parseOptions(args, { json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } })
  if (options.help) {
    process.stdout.write(DOCTOR_USAGE)
    return 0
  }
  const examination = new Examination(options.json ? () => {} : (check) => process.stdout.write(formatCheck(check)))
  await examine(examination)
  const ok = !examination.checks.some(({ status }) => status === 'fail')
  process.stdout.write(options.json ? `${JSON.stringify({ ok, checks: examination.checks })}\n` : formatEnd(ok))
  return ok ? 0 : 1
}

async function examine(examination: Examination): Promise<void> {
  await examination.check('guard', checkGuard)
  const settings = await examination.check('settings', () => {
    const found = resolveSettings({}, process.env)
    return { seen: `gateway ${found.tunnelUrl}`, result: found }
  })
  await examination.check('addon', checkAddon)
  const reader = await examination.check('hardening', () => checkHardening(examination))
  const token = await examination.check('token', () => checkToken(needed(settings), needed(reader), examination))
  await examination.check('token-unlink', () => checkUnlink(settings))
  const certificates = await examination.check('system-bundle', () => {
    const found = readTrustedCertificates(needed(settings), process.env, examination.logger)
    return { seen: `${found.system.length} certificates`, result: found }
  })
  const route = await examination.check('egress', () => checkEgress(needed(settings), needed(certificates)))
  const gatewayCa = await examination.check('gateway-ca', async () => {
    const way = needed(route)
    const download: Download = (url, limits) => runtime.download(url, way, limits)
    const found = await downloadGatewayCa(download, needed(settings).caUrl, examination.logger)
    return { seen: found.map(({ subject }) => subject.replaceAll('\n', ', ')).join('; '), result: found }
  })
  await examination.check('bundle', () => checkBundle([...needed(certificates).system, ...needed(gatewayCa)]))
  await examination.check('relay', () => checkRelay(needed(settings), needed(token), needed(route)))
  await examination.check('gateway-handshake', () => checkHandshake(needed(settings), needed(token), needed(route)))
  token?.wipe()
}

// -- The checks ------------------------------------------------------------------------------------------------------------

interface Finding<T> {
  readonly seen: string
  readonly result: T
}

function checkGuard(): Finding<true> {
  if (!isEnabled({}, process.env)) throw new UpstreamProxyError('guard-off', 'the proxy is not turned on')
  return { seen: 'CLAUDE_CODE_REMOTE and CCR_UPSTREAM_PROXY_ENABLED are set', result: true }
}

function checkAddon(): Finding<Addon> {
  const { addon, error } = loadAddon()
  if (addon !== undefined) return { seen: 'loaded', result: addon }
  throw new UpstreamProxyError('addon-unavailable', `the native addon is missing (${error})`)
}

/** What reads the token: the addon in a hardened process, or nothing where there is no hardening. */
interface TokenReader {
  readonly addon: Addon | undefined
}

function checkHardening({ logger }: Examination): Finding<TokenReader> {
  const addon = findHardeningAddon()
  if (addon !== undefined) {
    hardenProcess(addon)
    return { seen: 'not dumpable, not traced, no debugger', result: { addon } }
  }
  logger.warn(new UpstreamProxyError('hardening-unsupported', `the process cannot be hardened on ${process.platform}`))
  return { seen: process.platform, result: { addon } }
}

function checkToken(settings: Settings, { addon }: TokenReader, { logger }: Examination): Finding<SessionToken> {
  return { seen: settings.tokenFile, result: readSessionToken(settings.tokenFile, addon, logger) }
}

function checkUnlink(settings: Settings | undefined): Finding<true> {
  const directory = dirname(needed(settings).tokenFile)
  try {
    accessSync(directory, constants.W_OK)
  } catch {
    throw new Warning(new UpstreamProxyError('token-not-unlinked', `${directory} cannot be written`))
  }
  return { seen: `${directory} can be written`, result: true }
}

function checkEgress(settings: Settings, { gatewayRoots }: TrustedCertificates): Finding<Route> {
  const egress = egressTo(settings.tunnelUrl, readContainerProxy(process.env))
  const { egressTimeoutMs } = DEFAULT_RELAY_LIMITS
  return {
    seen: egress === undefined ? 'the gateway is reached directly' : `through ${egress.url.origin}`,
    result: { trust: runtime.createTrust(gatewayRoots), egress, egressTimeoutMs },
  }
}

function checkBundle(certificates: Parameters<typeof formatCertificates>[0]): Finding<true> {
  const directory = new PrivateDirectory()
  try {
    const bundle = formatCertificates(certificates)
    directory.writeFile('ca-bundle.pem', bundle)
    return { seen: `${Math.ceil(bundle.length / 1024)} KiB in ${dirname(directory.path)}`, result: true }
  } finally {
    directory.remove()
  }
}

async function checkRelay(settings: Settings, token: SessionToken, route: Route): Promise<Finding<true>> {
  const { tunnelUrl, sessionId } = settings
  const relay = await startRelayOn(runtime, route.trust, { tunnelUrl, token, sessionId })
  const { proxyUrl } = relay
  await relay.close()
  return { seen: `listened on ${proxyUrl}`, result: true }
}

/** One WebSocket to the gateway, opened and closed. */
async function checkHandshake(settings: Settings, token: SessionToken, route: Route): Promise<Finding<true>> {
  const start = performance.now()
  const dialer = runtime.createGatewayDialer({ ...DEFAULT_RELAY_LIMITS, ...route })
  const credential = new Credential(token, settings.sessionId)
  let timer: NodeJS.Timeout | undefined
  try {
    await new Promise<void>((resolve, reject) => {
      timer = setTimeout(() => reject(dialTimeout()), DEFAULT_RELAY_LIMITS.dialTimeoutMs)
      dialer.dial(settings.tunnelUrl, credential.upgradeHeaders(), {
        gatewayOnOpen: resolve,
        gatewayOnFailure: reject,
        gatewayOnClose: ({ code }) => reject(new UpstreamProxyError('gateway-closed', `close code ${code}`)),
        gatewayOnData: () => {},
        gatewayOnPong: () => {},
        gatewayOnDrain: () => {},
      })
    })
  } finally {
    clearTimeout(timer)
    await dialer.close()
  }
  return {
    seen: `${settings.tunnelUrl} accepted the token in ${Math.round(performance.now() - start)} ms`,
    result: true,
  }
}

function dialTimeout(): UpstreamProxyError {
  return new UpstreamProxyError('gateway-dial-timeout', 'the gateway did not accept the WebSocket in time')
}

// -- The examination -------------------------------------------------------------------------------------------------------

/** Thrown by a check whose finding does not stop the proxy. */
class Warning extends Error {
  readonly error: UpstreamProxyError

  constructor(error: UpstreamProxyError) {
    super(error.message)
    this.error = error
  }
}

/** Thrown by a check that needs what an earlier one did not find. */
class Skipped extends Error {}

function needed<T>(value: T | undefined): T {
  if (value === undefined) throw new Skipped()
  return value
}

/** Collects the checks, and the warnings that the parts log while one runs. */
class Examination {
  readonly checks: Check[] = []
  readonly logger = createLogger('warn', (entry) => this.#warnings.push(entry))
  readonly #warnings: LogEntry[] = []
  readonly #report: (check: Check) => void

  constructor(report: (check: Check) => void) {
    this.#report = report
  }

  /** Runs one check; its result, or undefined when it failed or was skipped. */
  async check<T>(id: string, examine: () => Finding<T> | Promise<Finding<T>>): Promise<T | undefined> {
    try {
      const { seen, result } = await examine()
      this.#add(this.#withWarnings(id, seen))
      return result
    } catch (error) {
      this.#add(failedCheck(id, error))
      return undefined
    }
  }

  #withWarnings(id: string, seen: string): Check {
    const warning = this.#warnings.splice(0)[0]
    if (warning?.code === undefined) return { id, status: 'pass', seen }
    const { code, message, hint = '' } = warning
    return { id, status: 'warn', code, seen: message, hint }
  }

  #add(check: Check): void {
    this.checks.push(check)
    this.#report(check)
  }
}

function failedCheck(id: string, thrown: unknown): Check {
  if (thrown instanceof Skipped) return { id, status: 'skip', seen: 'needs a check that did not pass' }
  const error =
    thrown instanceof Warning ? thrown.error : asUpstreamProxyError(thrown, 'internal-error', 'the check failed')
  const { code, message, hint } = error
  return { id, status: thrown instanceof Warning ? 'warn' : 'fail', code, seen: message, hint }
}

function formatCheck({ id, status, code, seen = '', hint }: Check): string {
  const line = `${status}  ${id.padEnd(18)} ${seen}${code === undefined ? '' : ` [${code}]`}\n`
  return hint === undefined ? line : `${line}${' '.repeat(25)}→ ${hint}\n`
}

function formatEnd(ok: boolean): string {
  return ok ? 'The proxy would start.\n' : 'The proxy would stay off or not work: see the checks that fail.\n'
}
