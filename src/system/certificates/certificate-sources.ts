// Where the certificates lie that are trusted before the gateway has said anything: paths alone, for reading them is the
// relay's thread's work.

import { inheritedCertificateFiles } from '../children/child-env.js'
import type { Environment } from '../environment.js'
import type { Settings } from '../settings.js'

/** Plain data, for the structured clone algorithm. */
export interface CertificateSources {
  /** The system's bundle; undefined: the first of the known ones that has any. */
  readonly systemBundleFile: string | undefined
  /** What comes before the known ones: the container's SSL_CERT_FILE. */
  readonly namedBundleFile: string | undefined
  /** Trusted for the gateway alone. */
  readonly gatewayCaFile: string | undefined
  /** What the runtime itself reads as soon as it speaks TLS, whatever the options say: on Bun NODE_EXTRA_CA_CERTS. */
  readonly readByRuntime: string | undefined
  /** What the container's variables name, each once: everything, and what comes on top of a tool's own roots. */
  readonly inherited: { readonly full: readonly string[]; readonly extra: readonly string[] }
}

/** What settings and environment name. */
export function findCertificateSources(settings: Settings, environment: Environment): CertificateSources {
  return {
    systemBundleFile: settings.systemBundleFile,
    namedBundleFile: environment.SSL_CERT_FILE || undefined,
    gatewayCaFile: settings.gatewayCaFile,
    readByRuntime: ('Bun' in globalThis && process.env.NODE_EXTRA_CA_CERTS) || undefined,
    inherited: inheritedCertificateFiles(environment),
  }
}
