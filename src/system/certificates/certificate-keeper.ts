// The certificates of one relay: from what the machine has to the files for children, and these renewed for as long as the
// relay is there.

import type { X509Certificate } from 'node:crypto'
import { UpstreamProxyError } from '../../errors.js'
import type { Logger } from '../../log.js'
import { writeJavaTrustStore } from '../children/files/java-trust-store.js'
import { Folder } from '../private-directory.js'
import { CaRenewal } from './ca-renewal.js'
import { type BundleFiles, writeCertificateFiles } from './certificate-files.js'
import type { CertificateSources } from './certificate-sources.js'
import { type Download, downloadGatewayCa } from './gateway-ca.js'
import { LateCa } from './late-ca.js'
import { readTrustedCertificates, type TrustedCertificates } from './trusted-certificates.js'

/** Where the gateway's CA comes from, and where the files go. */
export interface ProvisionInputs {
  readonly caUrl: URL
  readonly download: Download
  /** Path of a folder of ours. */
  readonly directory: string
  readonly hasJavaTrustStore: boolean
  /**
   * Milliseconds for the gateway to accept a connection. When it is silent the files are written without its CA, which they get
   * once it comes. Without it a silent gateway is a failure.
   */
  readonly reachTimeoutMs?: number | undefined
  /** The CA of a gateway that was silent is in the files now. */
  readonly onLateCa?: () => void
}

/** Paths of the files. */
export interface ProvidedCertificates extends BundleFiles {
  readonly javaTrustStore?: string
  /** Where the gateway is silent, and its CA not in them yet. */
  readonly isGatewaySilent?: true
}

interface CaSource {
  readonly fetch: (reachTimeoutMs?: number) => Promise<readonly X509Certificate[]>
  readonly write: (ca: readonly X509Certificate[]) => ProvidedCertificates
}

export class CertificateKeeper {
  readonly #trusted: TrustedCertificates
  readonly #logger: Logger
  #renewal: CaRenewal | LateCa | undefined
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
  async provide(inputs: ProvisionInputs): Promise<ProvidedCertificates> {
    const { caUrl, download, directory, hasJavaTrustStore, reachTimeoutMs } = inputs
    const folder = new Folder(directory)
    const source: CaSource = {
      fetch: (reachTimeoutMs) => downloadGatewayCa(download, caUrl, this.#logger, reachTimeoutMs),
      write: (ca) => this.#write(folder, ca, hasJavaTrustStore),
    }
    try {
      return this.#keep(await source.fetch(reachTimeoutMs), source)
    } catch (error) {
      if (!(error instanceof UpstreamProxyError) || error.code !== 'gateway-silent') throw error
      return this.#awaitCa(source, inputs.onLateCa)
    }
  }

  #keep(ca: readonly X509Certificate[], { fetch, write }: CaSource): ProvidedCertificates {
    const files = write(ca)
    if (!this.#isStopped) this.#renewal = new CaRenewal(ca, fetch, write, this.#logger)
    return files
  }

  #awaitCa(source: CaSource, onLateCa?: () => void): ProvidedCertificates {
    const files = source.write([])
    const onCome = (ca: readonly X509Certificate[]): void => {
      this.#keep(ca, source)
      onLateCa?.()
    }
    if (!this.#isStopped) this.#renewal = new LateCa(source.fetch, onCome, this.#logger)
    return { ...files, isGatewaySilent: true }
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
