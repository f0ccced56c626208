// The certificates of one relay: from what the machine has to the files for children, and these renewed for as long as the
// relay is there.

import type { X509Certificate } from 'node:crypto'
import type { Logger } from '../../log.js'
import { writeJavaTrustStore } from '../children/files/java-trust-store.js'
import { Folder } from '../private-directory.js'
import { CaRenewal } from './ca-renewal.js'
import { type BundleFiles, writeCertificateFiles } from './certificate-files.js'
import type { CertificateSources } from './certificate-sources.js'
import { type Download, downloadGatewayCa } from './gateway-ca.js'
import { readTrustedCertificates, type TrustedCertificates } from './trusted-certificates.js'

/** Where the gateway's CA comes from, and where the files go. */
export interface ProvisionInputs {
  readonly caUrl: URL
  readonly download: Download
  /** Path of a folder of ours. */
  readonly directory: string
  readonly hasJavaTrustStore: boolean
}

/** Paths of the files. */
export interface ProvidedCertificates extends BundleFiles {
  readonly javaTrustStore?: string
}

export class CertificateKeeper {
  readonly #trusted: TrustedCertificates
  readonly #logger: Logger
  #renewal: CaRenewal | undefined
  #isStopped = false

  /**
   * Reads what the machine trusts.
   * @throws {UpstreamProxyError} `config-invalid`
   */
  constructor(sources: CertificateSources, logger: Logger) {
    this.#trusted = readTrustedCertificates(sources, logger)
    this.#logger = logger
  }

  /** PEM, for the gateway's own TLS. */
  get gatewayRoots(): string {
    return this.#trusted.gatewayRoots
  }

  /**
   * Downloads the gateway's CA and writes the files; again before it expires, until stop().
   * @throws {UpstreamProxyError} what downloadGatewayCa() says, `bundle-unwritable` or `disk-full`
   */
  async provide({ caUrl, download, directory, hasJavaTrustStore }: ProvisionInputs): Promise<ProvidedCertificates> {
    const folder = new Folder(directory)
    const fetchCa = () => downloadGatewayCa(download, caUrl, this.#logger)
    const write = (ca: readonly X509Certificate[]) => this.#write(folder, ca, hasJavaTrustStore)
    const gatewayCa = await fetchCa()
    const files = write(gatewayCa)
    if (!this.#isStopped) this.#renewal = new CaRenewal(gatewayCa, fetchCa, write, this.#logger)
    return files
  }

  stop(): void {
    this.#isStopped = true
    this.#renewal?.stop()
  }

  #write(folder: Folder, gatewayCa: readonly X509Certificate[], hasJavaTrustStore: boolean): ProvidedCertificates {
    const { certificates, ...bundles } = writeCertificateFiles(folder, this.#trusted, gatewayCa)
    if (!hasJavaTrustStore) return bundles
    return { ...bundles, javaTrustStore: writeJavaTrustStore(folder, certificates) }
  }
}
