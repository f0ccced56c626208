// The relay, its token and its certificates in the thread that this module is loaded in: the program's, or the relay's own.

import { UpstreamProxyError } from '../errors.js'
import type { Logger } from '../log.js'
import { exceptOwnAddress } from '../protocol/egress-proxy.js'
import { resolveLimits } from '../relay/limits.js'
import { type LocalRelay, type Relay, resolveEgressOption, startRelayOn } from '../relay/relay.js'
import type { Route } from '../runtime/runtime.js'
import { runtime } from '../runtime/select.js'
import { CertificateKeeper, type ProvidedCertificates } from '../system/certificates/certificate-keeper.js'
import type { CertificateSources } from '../system/certificates/certificate-sources.js'
import { assertHardened, findHardeningAddon } from '../system/harden.js'
import { TokenKeeper } from '../system/token-keeper.js'
import type { HomeProvision, HomeRelayOptions, RelayHome, TokenFile } from './relay-home.js'

export class LocalHome implements RelayHome {
  readonly #logger: Logger
  #certificates: CertificateKeeper | undefined
  #token: TokenKeeper | undefined
  #relay: LocalRelay | undefined
  #route: Route | undefined
  #closing: Promise<void> | undefined

  constructor(logger: Logger) {
    this.#logger = logger
  }

  async readCertificates(sources: CertificateSources): Promise<void> {
    this.#certificates = new CertificateKeeper(sources, this.#logger)
  }

  async readTokenFile({ path, isHardened }: TokenFile): Promise<void> {
    const addon = findHardeningAddon()
    this.#token = new TokenKeeper({
      path,
      addon,
      assertHardened: () => addon !== undefined && isHardened && assertHardened(addon),
      logger: this.#logger,
    })
  }

  async removeTokenFile(): Promise<void> {
    const [token, relay] = [this.#token, this.#relay]
    token?.removeFile()
    if (relay !== undefined) token?.follow((candidate, ended) => relay.tryToken(candidate, ended))
  }

  async listen(options: HomeRelayOptions): Promise<Relay> {
    const token = options.token ?? this.#token
    if (token === undefined) throw new UpstreamProxyError('internal-error', 'there is no token')
    const trust = runtime.createTrust(options.trustedCertificates ?? this.#certificates?.gatewayRoots)
    const relay = await startRelayOn(runtime, trust, { ...options, token, logger: this.#logger })
    this.#relay = relay
    this.#route = {
      trust,
      egress: exceptOwnAddress(resolveEgressOption(options.egress), relay.port),
      egressTimeoutMs: resolveLimits(options.limits).egressTimeoutMs,
    }
    return relay
  }

  async provideCertificates(inputs: HomeProvision): Promise<ProvidedCertificates> {
    const [certificates, relay, route] = [this.#certificates, this.#relay, this.#route]
    if (certificates === undefined || relay === undefined || route === undefined)
      throw new UpstreamProxyError('internal-error', 'there is no relay with certificates')
    const provided = await certificates.provide({
      ...inputs,
      download: (url, limits) => runtime.download(url, route, limits),
      onLateCa: () => {
        relay.isGatewaySilent = false
      },
    })
    relay.isGatewaySilent = provided.isGatewaySilent === true
    return provided
  }

  close(graceMs?: number): Promise<void> {
    this.#closing ??= this.#close(graceMs)
    return this.#closing
  }

  async #close(graceMs: number | undefined): Promise<void> {
    this.#certificates?.stop()
    this.#token?.stop()
    try {
      await this.#relay?.close(graceMs)
    } finally {
      this.#token?.wipe()
    }
  }
}
