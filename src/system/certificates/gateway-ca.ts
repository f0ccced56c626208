// The gateway's interception CA: downloaded, bounded, and checked before any client is told to trust it.

import type { X509Certificate } from 'node:crypto'
import { withDeadline } from '../../deadline.js'
import { UpstreamProxyError } from '../../errors.js'
import type { Logger } from '../../log.js'
import type { DownloadedAnswer, DownloadLimits } from '../../runtime/runtime.js'
import { lintCaCertificate } from './ca-lint.js'
import { parseCertificates } from './pem.js'

/** Four round trips on a bad link, and a gateway that is just being woken. */
const DOWNLOAD_TIMEOUT_MS = 10_000
/** A handful of certificates; one is about 1 KiB. */
const MAX_CA_BYTES = 256 * 1024
const MAX_REDIRECTS = 3
/** A CA may be this much younger than our clock allows: containers lag behind, and gateways mint a CA as they start. */
const CLOCK_SKEW_MS = 300_000

/** GET without following redirects; rejects with an UpstreamProxyError. */
export type Download = (url: URL, limits: DownloadLimits) => Promise<DownloadedAnswer>

/**
 * Downloads the CA certificates of the gateway.
 * @param reachTimeoutMs milliseconds for the connection, after which it is `gateway-silent`; those of the download unless given
 * @throws {UpstreamProxyError} `gateway-unreachable`, `gateway-dns-failed`, `gateway-tls-failed`, `ca-timeout`, `ca-refused`, `ca-redirected`, `ca-invalid` or `clock-skew`
 */
export async function downloadGatewayCa(
  download: Download,
  url: URL,
  logger: Logger,
  reachTimeoutMs?: number,
): Promise<readonly X509Certificate[]> {
  const certificates = await fetchGatewayCa(download, url, DOWNLOAD_TIMEOUT_MS, reachTimeoutMs)
  warnOfFindings(certificates, logger)
  return certificates
}

/** As downloadGatewayCa(), with a time of its own and without the lint. */
export async function fetchGatewayCa(
  download: Download,
  url: URL,
  timeoutMs: number,
  reachTimeoutMs?: number,
): Promise<readonly X509Certificate[]> {
  const answer = await withDeadline(
    timeoutMs,
    () => tooLate(url, timeoutMs),
    (signal) => downloadWithinOrigin(download, url, { maxBytes: MAX_CA_BYTES, reachTimeoutMs, signal }),
  )
  if (answer.status !== 200) {
    throw new UpstreamProxyError('ca-refused', `${url} answered with status ${answer.status}`, { side: 'remote' })
  }
  return checkCaCertificates(Buffer.from(answer.body).toString('latin1'), new Date())
}

/** Warns of what some client may refuse a CA for. */
export function warnOfFindings(certificates: readonly X509Certificate[], logger: Logger): void {
  for (const certificate of certificates) {
    const findings = lintCaCertificate(certificate, new Date())
    if (findings.length === 0) continue
    const subject = certificate.subject.replaceAll('\n', ', ')
    logger.warn(new UpstreamProxyError('ca-questionable', `the CA «${subject}»: ${findings.join('; ')}`))
  }
}

function tooLate(url: URL, timeoutMs: number): UpstreamProxyError {
  return new UpstreamProxyError('ca-timeout', `${url.host} did not serve its CA within ${timeoutMs} ms`, {
    side: 'remote',
  })
}

async function downloadWithinOrigin(download: Download, start: URL, limits: DownloadLimits): Promise<DownloadedAnswer> {
  let url = start
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const answer = await download(url, limits)
    if (answer.location === undefined || answer.status < 300 || answer.status > 399) return answer
    url = redirectWithin(start, url, answer.location)
  }
  throw new UpstreamProxyError('ca-redirected', `${start} redirects more than ${MAX_REDIRECTS} times`, {
    side: 'remote',
  })
}

function redirectWithin(start: URL, from: URL, location: string): URL {
  const target = URL.canParse(location, from.href) ? new URL(location, from) : undefined
  if (target?.origin === start.origin) return target
  throw new UpstreamProxyError('ca-redirected', `${start} redirects to another origin`, { side: 'remote' })
}

/**
 * What a CA download must be: PEM certificates, each with CA:TRUE (RFC 5280, section 4.2.1.9) and valid now.
 * @param source what the error calls it
 * @throws {UpstreamProxyError} `ca-invalid`, or `clock-skew` when it is not valid yet
 */
export function checkCaCertificates(
  pem: string,
  now: Date,
  source = 'what the gateway serves as its CA',
): readonly X509Certificate[] {
  const { certificates, broken } = parseCertificates(pem)
  const invalid = (why: string): UpstreamProxyError =>
    new UpstreamProxyError('ca-invalid', `${source} ${why}`, { side: 'remote' })
  if (broken > 0) throw invalid('holds a certificate that does not parse')
  if (certificates.length === 0) throw invalid('holds no PEM certificate')
  for (const certificate of certificates) {
    if (!certificate.ca) throw invalid('holds a certificate without CA:TRUE')
    if (now.getTime() + CLOCK_SKEW_MS < Date.parse(certificate.validFrom)) throw notValidYet(source, certificate, now)
    if (now > new Date(certificate.validTo)) throw invalid('has expired')
  }
  return certificates
}

function notValidYet(source: string, { validFrom }: X509Certificate, now: Date): UpstreamProxyError {
  const times = `is not valid before ${new Date(validFrom).toISOString()}, and it is ${now.toISOString()} here`
  return new UpstreamProxyError('clock-skew', `${source} ${times}`, { side: 'remote' })
}
