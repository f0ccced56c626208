// What is trusted before the gateway has said anything: by the machine, by the container's variables, and for the gateway.

import { rootCertificates } from 'node:tls'
import { UpstreamProxyError } from '../../errors.js'
import { readForeignFile } from '../../foreign-file.js'
import type { Logger } from '../../log.js'
import type { CertificateSources } from './certificate-sources.js'
import { formatCertificates } from './pem.js'
import {
  type CertificateReader,
  certificatesOf,
  MAX_BUNDLE_BYTES,
  readCertificateFile,
  readSystemBundle,
} from './system-bundle.js'

/** Each certificate as PEM. */
export interface TrustedCertificates {
  /** The system's, and what the container's variables name: they stay trusted by children. */
  readonly system: readonly string[]
  /** Where the system's come from: a file, or what stands in for it. */
  readonly systemSource: string
  /** What the container had named on top of its tools' own roots (NODE_EXTRA_CA_CERTS). */
  readonly extra: readonly string[]
  /** PEM, for the gateway's own TLS: never with the CA in it that the gateway hands out. */
  readonly gatewayRoots: string
}

/** @throws {UpstreamProxyError} `config-invalid` when CCR_UPSTREAM_PROXY_GATEWAY_CA names no certificates, or Bun would never go on */
export function readTrustedCertificates(sources: CertificateSources, logger: Logger): TrustedCertificates {
  const { inherited } = sources
  assertRuntimeGoesOn(sources.readByRuntime)
  const read = createReader(logger)
  const readAll = (files: readonly string[]) => files.flatMap(read)
  const bundle = readSystemBundle(sources, read, logger)
  const system = [...bundle.certificates, ...readAll(inherited.full)]
  const gatewayCa = readGatewayCaFile(sources.gatewayCaFile, logger)
  const roots = system.length > 0 ? formatCertificates(system) : rootCertificates.join('\n')
  return {
    system,
    systemSource: bundle.source,
    extra: readAll(inherited.extra),
    gatewayRoots: `${roots}\n${formatCertificates(gatewayCa)}`,
  }
}

/** Several variables often name the same file: it is read, and complained of, once. */
function createReader(logger: Logger): CertificateReader {
  const known = new Map<string, readonly string[]>()
  return (file) => {
    const certificates = known.get(file) ?? readCertificateFile(file, logger)
    known.set(file, certificates)
    return certificates
  }
}

function readGatewayCaFile(path: string | undefined, logger: Logger): readonly string[] {
  if (path === undefined) return []
  const invalid = (why: string): UpstreamProxyError =>
    new UpstreamProxyError('config-invalid', `CCR_UPSTREAM_PROXY_GATEWAY_CA: ${path} ${why}`)
  const file = readForeignFile(path, { maxBytes: MAX_BUNDLE_BYTES })
  if (file.problem !== undefined) throw invalid(file.why)
  const certificates = certificatesOf(path, file, logger)
  if (certificates.length > 0) return certificates
  throw invalid('holds no PEM certificate')
}

/** What it reads itself, it reads to the end, and waits for a pipe's writer for ever. */
function assertRuntimeGoesOn(path: string | undefined): void {
  if (path === undefined) return
  const { problem, why } = { why: '', ...readForeignFile(path, { maxBytes: MAX_BUNDLE_BYTES }) }
  if (problem !== 'not-regular' && problem !== 'too-large') return
  throw new UpstreamProxyError(
    'config-invalid',
    `NODE_EXTRA_CA_CERTS: ${path} ${why}, and Bun would read it to the end`,
  )
}
