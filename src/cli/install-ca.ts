// `install-ca` and `uninstall-ca`: for those who build images. They need no guard and no token; what they print are the
// stores, one by one, and what became of each.

import type { X509Certificate } from 'node:crypto'
import { realpathSync, statSync } from 'node:fs'
import { asUpstreamProxyError, UpstreamProxyError } from '../errors.js'
import { readForeignFile } from '../foreign-file.js'
import { createLogger, type Logger } from '../log.js'
import { DEFAULT_RELAY_LIMITS } from '../relay/limits.js'
import { runtime } from '../runtime/select.js'
import { findCertificateSources } from '../system/certificates/certificate-sources.js'
import { checkCaCertificates, downloadGatewayCa, warnOfFindings } from '../system/certificates/gateway-ca.js'
import { MAX_BUNDLE_BYTES } from '../system/certificates/system-bundle.js'
import { readTrustedCertificates } from '../system/certificates/trusted-certificates.js'
import { containerEnvironment } from '../system/container-environment.js'
import { egressTo, readContainerProxy } from '../system/egress.js'
import { installCa, uninstallCa } from '../system/install-ca/install-ca.js'
import type { Keystores, StoreReport } from '../system/install-ca/installation.js'
import { STORES, type StoreName } from '../system/install-ca/journal.js'
import { TargetRoot } from '../system/install-ca/target-root.js'
import { resolveLogLevel, resolveSettings } from '../system/settings.js'
import { parseOptions, UsageError } from './arguments.js'
import { INSTALL_CA_USAGE, UNINSTALL_CA_USAGE } from './help.js'

/** Runs `ccr-upstream-proxy install-ca`; resolves to the exit code. */
export async function installCaCommand(args: readonly string[]): Promise<number> {
  const options = parseOptions(args, {
    root: { type: 'string' },
    'ca-file': { type: 'string' },
    'java-keystore': { type: 'string', multiple: true },
    only: { type: 'string' },
    'dry-run': { type: 'boolean' },
    json: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  })
  if (options.help) {
    process.stdout.write(INSTALL_CA_USAGE)
    return 0
  }
  const root = openRoot(options.root)
  const stores = parseStores(options.only)
  const keystores = parseKeystores(options['java-keystore'] ?? ['auto'])
  const isDryRun = options['dry-run'] ?? false
  return report(options.json ?? false, isDryRun, async () => {
    const certificates = await obtainCa(options['ca-file'])
    return installCa({ root, certificates, keystores, stores, isDryRun })
  })
}

/** Runs `ccr-upstream-proxy uninstall-ca`; resolves to the exit code. */
export async function uninstallCaCommand(args: readonly string[]): Promise<number> {
  const options = parseOptions(args, {
    root: { type: 'string' },
    'dry-run': { type: 'boolean' },
    json: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  })
  if (options.help) {
    process.stdout.write(UNINSTALL_CA_USAGE)
    return 0
  }
  const root = openRoot(options.root)
  const isDryRun = options['dry-run'] ?? false
  return report(options.json ?? false, isDryRun, async () => uninstallCa(root, isDryRun))
}

// -- What the arguments mean -----------------------------------------------------------------------------------------------

function openRoot(directory = '/'): TargetRoot {
  const stats = directory === '' ? undefined : statSync(directory, { throwIfNoEntry: false })
  if (!stats?.isDirectory()) throw new UsageError(`--root takes a folder, and ${directory} is none`)
  return new TargetRoot(realpathSync(directory))
}

function parseStores(list: string | undefined): readonly StoreName[] {
  if (list === undefined) return STORES
  return list.split(',').map((word) => {
    const store = STORES.find((name) => name === word.trim().toLowerCase())
    if (store === undefined) throw new UsageError(`--only takes ${STORES.join(', ')}, and not ${word || 'nothing'}`)
    return store
  })
}

function parseKeystores(values: readonly string[]): Keystores {
  const paths = values.filter((value) => value !== 'auto')
  const wrong = paths.find((path) => !path.startsWith('/'))
  if (wrong !== undefined) throw new UsageError('--java-keystore takes an absolute path inside the root, or auto')
  return { auto: paths.length < values.length, paths }
}

// -- Where the CA comes from -----------------------------------------------------------------------------------------------

async function obtainCa(file: string | undefined): Promise<readonly X509Certificate[]> {
  const logger = createLogger(resolveLogLevel({}, process.env))
  if (file === undefined) return downloadCa(logger)
  const certificates = checkCaCertificates(readCaFile(file), new Date(), file)
  warnOfFindings(certificates, logger)
  return certificates
}

function readCaFile(file: string): string {
  const found = readForeignFile(file, { maxBytes: MAX_BUNDLE_BYTES })
  if (found.problem === undefined) return found.bytes.toString('latin1')
  throw new UpstreamProxyError('config-invalid', `--ca-file: ${file} ${found.why}`)
}

function downloadCa(logger: Logger): Promise<readonly X509Certificate[]> {
  const settings = resolveSettings({}, process.env)
  const environment = containerEnvironment(process.env)
  const { gatewayRoots } = readTrustedCertificates(findCertificateSources(settings, environment), logger)
  const route = {
    trust: runtime.createTrust(gatewayRoots),
    egress: egressTo(settings.tunnelUrl, readContainerProxy(environment)),
    egressTimeoutMs: DEFAULT_RELAY_LIMITS.egressTimeoutMs,
  }
  return downloadGatewayCa((url, limits) => runtime.download(url, route, limits), settings.caUrl, logger)
}

// -- What is printed -------------------------------------------------------------------------------------------------------

/** Prints what `action` reports; resolves to the exit code. */
async function report(isJson: boolean, isDryRun: boolean, action: () => Promise<StoreReport[]>): Promise<number> {
  try {
    const stores = await action()
    const ok = !stores.some(({ status }) => status === 'failed')
    process.stdout.write(
      isJson ? `${JSON.stringify({ ok, dryRun: isDryRun, stores })}\n` : formatReports(stores, isDryRun),
    )
    return ok ? 0 : 1
  } catch (error) {
    const failure = asUpstreamProxyError(error, 'internal-error', 'the command failed')
    reportFailure(isJson, failure)
    return 1
  }
}

function reportFailure(isJson: boolean, { code, message, hint }: UpstreamProxyError): void {
  if (isJson) process.stdout.write(`${JSON.stringify({ ok: false, code, reason: message, hint, stores: [] })}\n`)
  else process.stderr.write(`ccr-upstream-proxy: error [${code}] ${message}; hint: ${hint}\n`)
}

function formatReports(reports: readonly StoreReport[], isDryRun: boolean): string {
  if (reports.length === 0) return 'Nothing is installed.\n'
  const end = isDryRun ? 'Nothing was changed: this is what would be done.\n' : ''
  return `${reports.map(formatReport).join('')}${end}`
}

function formatReport({ store, path = '', status, code, seen, hint }: StoreReport): string {
  const tag = code === undefined ? '' : ` [${code}]`
  const lines = [`${status.padEnd(14)} ${store.padEnd(9)} ${seen === undefined ? path : seen}`.trimEnd() + tag]
  if (hint !== undefined) lines.push(`${' '.repeat(25)}→ ${hint}`)
  return lines.map((line) => `${line}\n`).join('')
}
