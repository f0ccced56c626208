// Step 4 of the start: the system's certificates, the gateway's CA, and the bundle as clients will find it.

import type { X509Certificate } from 'node:crypto'
import { UpstreamProxyError } from '../errors.js'
import type { Logger } from '../log.js'
import type { Route } from '../runtime/runtime.js'
import { runtime } from '../runtime/select.js'
import { lintCaCertificate } from '../system/certificates/ca-lint.js'
import {
  type BundleFiles,
  type CertificateFiles,
  writeCertificateFiles,
} from '../system/certificates/certificate-files.js'
import { findCertificateSources } from '../system/certificates/certificate-sources.js'
import { type Download, fetchGatewayCa } from '../system/certificates/gateway-ca.js'
import { parseCertificates } from '../system/certificates/pem.js'
import { readTrustedCertificates, type TrustedCertificates } from '../system/certificates/trusted-certificates.js'
import type { Environment } from '../system/environment.js'
import { PrivateDirectory } from '../system/private-directory.js'
import type { Settings } from '../system/settings.js'
import { readBundle } from './bundle-in-use.js'
import { type Examination, type Finding, needed, Problem } from './check.js'
import type { Ground } from './ground.js'
import { routeTo } from './route.js'

const DAY_MS = 86_400_000

/** Less than the ten seconds of the start: the whole examination has fifteen. */
const DOWNLOAD_TIMEOUT_MS = 3_500

export async function examineCertificates(examination: Examination, ground: Ground): Promise<Partial<Ground>> {
  const { settings, trusted, address, gatewayAnswer, holder } = ground
  examination.enter('certificates')
  const gatewayCa = await examination.check('gateway-ca', () => {
    needed(gatewayAnswer, 'gateway')
    const timeoutMs = examination.timeFor(DOWNLOAD_TIMEOUT_MS)
    return checkGatewayCa(routeTo(needed(address, 'gateway')), needed(settings, 'settings').caUrl, timeoutMs)
  })
  await examination.check('ca-lint', () => checkCaLint(needed(gatewayCa, 'gateway-ca')))
  const bundle = await examination.check('bundle', () => {
    const directory = new PrivateDirectory()
    examination.atEnd(() => directory.remove())
    const { result: files, ...finding } =
      holder === undefined
        ? checkBundle(directory, needed(trusted, 'system-bundle'), gatewayCa ?? [])
        : checkBundleInUse(holder.record.targets, gatewayCa ?? [])
    return { ...finding, result: { directory, files } }
  })
  return { gatewayCa, bundle }
}

export function checkSystemBundle(
  settings: Settings,
  environment: Environment,
  logger: Logger,
): Finding<TrustedCertificates> {
  const sources = findCertificateSources(settings, environment)
  const result = readTrustedCertificates(sources, logger)
  const [system, extra] = [result.system, result.extra].map((certificates) => new Set(certificates).size)
  const hasNamed = sources.inherited.full.some((file) => file !== result.systemSource)
  const origin = `${result.systemSource}${hasNamed ? ' and the files that CA variables name' : ''}`
  const seen = `${system} certificates of ${origin}; ${extra} of NODE_EXTRA_CA_CERTS`
  return { seen, result }
}

async function checkGatewayCa(route: Route, url: URL, timeoutMs: number): Promise<Finding<readonly X509Certificate[]>> {
  const download: Download = (location, limits) => runtime.download(location, route, limits)
  const result = await fetchGatewayCa(download, url, timeoutMs)
  return { seen: `${result.length} from ${url.href}: ${result.map(nameOf).join('; ')}`, result }
}

/** What strict clients mind about a CA that is one. */
function checkCaLint(certificates: readonly X509Certificate[], now = new Date()): Finding<true> {
  const findings = certificates.flatMap((certificate) =>
    lintCaCertificate(certificate, now).map((finding) => `«${nameOf(certificate)}»: ${finding}`),
  )
  const seen = `CA:TRUE, key usage, key identifiers; ${certificates.map((ca) => describe(ca, now)).join('; ')}`
  if (findings.length === 0) return { seen, result: true }
  return { seen, result: true, warning: new UpstreamProxyError('ca-questionable', findings.join('; ')) }
}

function describe({ publicKey, validTo }: X509Certificate, now: Date): string {
  const { modulusLength, namedCurve } = publicKey.asymmetricKeyDetails ?? {}
  const key = modulusLength === undefined ? (namedCurve ?? publicKey.asymmetricKeyType) : `RSA ${modulusLength}`
  return `${key}, ends in ${Math.floor((Date.parse(validTo) - now.getTime()) / DAY_MS)} days`
}

/** Writes the bundle as the start does, and looks at what lies there then. */
function checkBundle(
  directory: PrivateDirectory,
  trusted: TrustedCertificates,
  gatewayCa: readonly X509Certificate[],
): Finding<CertificateFiles> {
  const result = writeCertificateFiles(directory, trusted, gatewayCa)
  const text = readBundle(result.fullBundleFile)
  const { certificates, broken } = parseCertificates(text)
  const prints = certificates.map(({ fingerprint256 }) => fingerprint256)
  const unique = new Set(prints)
  const isWhole = broken === 0 && unique.size === prints.length
  const missing = gatewayCa.find(({ fingerprint256 }) => !unique.has(fingerprint256))
  if (!isWhole || missing !== undefined) {
    throw new UpstreamProxyError('internal-error', 'the bundle that was written does not hold what it should')
  }
  const kilobytes = Math.ceil(text.length / 1024)
  const order = gatewayCa.length === 0 ? 'no gateway CA yet' : `system first, gateway CA ${placeOf(prints, gatewayCa)}`
  const seen = `${prints.length} certificates, each once; ${order}; ${kilobytes} KiB`
  return { seen, result }
}

/** What clients have now, which is of the moment at which their relay started. */
function checkBundleInUse(files: BundleFiles, gatewayCa: readonly X509Certificate[]): Finding<CertificateFiles> {
  const { fullBundleFile, extraCertificatesFile } = files
  const { certificates } = parseCertificates(readBundle(fullBundleFile))
  const result = { fullBundleFile, extraCertificatesFile, certificates }
  const prints = new Set(certificates.map(({ fingerprint256 }) => fingerprint256))
  const missing = gatewayCa.find(({ fingerprint256 }) => !prints.has(fingerprint256))
  const seen = `${prints.size} certificates in ${fullBundleFile}, which the relay gives to clients`
  if (missing === undefined) return { seen, result }
  const warning = new Problem({
    code: 'ca-not-renewed',
    hop: 'gateway',
    hint: 'start the session again: clients cannot trust what the gateway signs with it',
    message: `the gateway serves «${nameOf(missing)}», which is not in ${fullBundleFile}`,
  })
  return { seen, result, warning }
}

function placeOf(prints: readonly string[], gatewayCa: readonly X509Certificate[]): string {
  const last = prints.slice(-gatewayCa.length)
  return gatewayCa.every(({ fingerprint256 }) => last.includes(fingerprint256)) ? 'last' : 'among them'
}

function nameOf({ subject }: X509Certificate): string {
  return subject.replaceAll('\n', ', ')
}
