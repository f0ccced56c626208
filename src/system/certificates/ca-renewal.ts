// A CA that expires is fetched again before that, so that programs that start later trust what the gateway signs then. What
// was fetched before stays trusted until it has expired.

import type { X509Certificate } from 'node:crypto'
import { asUpstreamProxyError, UpstreamProxyError } from '../../errors.js'
import type { Logger } from '../../log.js'

/** The longest that a timer of Node can wait is 24.8 days. */
const LONGEST_WAIT_MS = 20 * 86_400_000
/** Behind a gateway that hands out the old CA until it has expired. */
const SHORTEST_WAIT_MS = 1_000

export class CaRenewal {
  readonly #download: () => Promise<readonly X509Certificate[]>
  readonly #write: (certificates: readonly X509Certificate[]) => void
  readonly #logger: Logger
  #certificates: readonly X509Certificate[]
  #timer: NodeJS.Timeout | undefined
  #isStopped = false

  /** Waits from now on, without keeping the process alive. */
  constructor(
    certificates: readonly X509Certificate[],
    download: () => Promise<readonly X509Certificate[]>,
    write: (certificates: readonly X509Certificate[]) => void,
    logger: Logger,
  ) {
    this.#certificates = certificates
    this.#download = download
    this.#write = write
    this.#logger = logger
    this.#wait()
  }

  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
  }

  /** Two thirds of the time that is left; after a failure, two thirds of the rest. */
  #wait(): void {
    if (this.#isStopped) return
    const leftMs = expiryOf(this.#certificates) - Date.now()
    const waitMs = Math.min(Math.max((leftMs * 2) / 3, SHORTEST_WAIT_MS), LONGEST_WAIT_MS)
    this.#timer = setTimeout(() => this.#onTime(), waitMs)
    this.#timer.unref()
  }

  #onTime(): void {
    this.#renew()
      .catch((error: unknown) => {
        const { message } = asUpstreamProxyError(error, 'internal-error', 'it failed')
        this.#logger.warn(new UpstreamProxyError('ca-not-renewed', `the gateway's CA was not renewed: ${message}`))
      })
      .finally(() => this.#wait())
  }

  async #renew(): Promise<void> {
    const fetched = await this.#download()
    if (this.#isStopped) return
    const now = Date.now()
    const known = this.#certificates.filter(({ validTo }) => Date.parse(validTo) > now)
    const isKnown = ({ fingerprint256 }: X509Certificate): boolean =>
      known.some((certificate) => certificate.fingerprint256 === fingerprint256)
    const added = fetched.filter((certificate) => !isKnown(certificate))
    if (added.length === 0) return
    this.#write([...known, ...added])
    // The newest decide when the next is due. What could not be written is not known: it is written the next time.
    this.#certificates = fetched
  }
}

function expiryOf(certificates: readonly X509Certificate[]): number {
  return Math.min(...certificates.map(({ validTo }) => Date.parse(validTo)))
}
