// The relay and its token in the thread that this module is loaded in: the program's, or the relay's own.

import { UpstreamProxyError } from '../errors.js'
import type { Logger } from '../log.js'
import { exceptOwnAddress } from '../protocol/egress-proxy.js'
import { resolveLimits } from '../relay/limits.js'
import { type Relay, resolveEgressOption, startRelayOn } from '../relay/relay.js'
import type { DownloadedAnswer, DownloadLimits, Route } from '../runtime/runtime.js'
import { runtime } from '../runtime/select.js'
import { findHardeningAddon } from '../system/harden.js'
import { readSessionToken, type SessionToken } from '../system/token.js'
import type { HomeRelayOptions, RelayHome } from './relay-home.js'

export class LocalHome implements RelayHome {
  readonly #logger: Logger
  #token: SessionToken | undefined
  #relay: Relay | undefined
  #route: Route | undefined
  #closing: Promise<void> | undefined

  constructor(logger: Logger) {
    this.#logger = logger
  }

  async readTokenFile(path: string): Promise<void> {
    this.#token = readSessionToken(path, findHardeningAddon(), this.#logger)
  }

  async removeTokenFile(): Promise<number> {
    return this.#token?.unlinkFile() ?? 0
  }

  async listen(options: HomeRelayOptions): Promise<Relay> {
    const token = options.token ?? this.#token
    if (token === undefined) throw new UpstreamProxyError('internal-error', 'there is no token')
    const trust = runtime.createTrust(options.trustedCertificates)
    const relay = await startRelayOn(runtime, trust, { ...options, token, logger: this.#logger })
    this.#relay = relay
    this.#route = {
      trust,
      egress: exceptOwnAddress(resolveEgressOption(options.egress), relay.port),
      egressTimeoutMs: resolveLimits(options.limits).egressTimeoutMs,
    }
    return relay
  }

  async download(url: URL, limits: DownloadLimits): Promise<DownloadedAnswer> {
    if (this.#route === undefined) throw new UpstreamProxyError('internal-error', 'the relay does not listen')
    return runtime.download(url, this.#route, limits)
  }

  close(graceMs?: number): Promise<void> {
    this.#closing ??= this.#close(graceMs)
    return this.#closing
  }

  async #close(graceMs: number | undefined): Promise<void> {
    await this.#relay?.close(graceMs)
    this.#token?.wipe()
  }
}
