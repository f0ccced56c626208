// The CA of a gateway that was silent when the relay started: asked for again and again, until it comes.

import type { X509Certificate } from 'node:crypto'
import { asUpstreamProxyError } from '../../errors.js'
import type { Logger } from '../../log.js'

/** Between attempts: doubled from the first to the longest. */
const FIRST_WAIT_MS = 1_000
const LONGEST_WAIT_MS = 60_000

export class LateCa {
  readonly #download: () => Promise<readonly X509Certificate[]>
  readonly #onCome: (certificates: readonly X509Certificate[]) => void
  readonly #logger: Logger
  #timer: NodeJS.Timeout | undefined
  #isStopped = false

  /** Waits from now on, without keeping the process alive; what `onCome` throws is an attempt that failed. */
  constructor(
    download: () => Promise<readonly X509Certificate[]>,
    onCome: (certificates: readonly X509Certificate[]) => void,
    logger: Logger,
  ) {
    this.#download = download
    this.#onCome = onCome
    this.#logger = logger
    this.#attemptIn(FIRST_WAIT_MS)
  }

  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
  }

  #attemptIn(waitMs: number): void {
    this.#timer = setTimeout(async () => {
      if (!(await this.#attempt()) && !this.#isStopped) this.#attemptIn(Math.min(2 * waitMs, LONGEST_WAIT_MS))
    }, waitMs)
    this.#timer.unref()
  }

  /** Whether there is nothing left to do. */
  async #attempt(): Promise<boolean> {
    try {
      const certificates = await this.#download()
      if (!this.#isStopped) this.#onCome(certificates)
      return true
    } catch (error) {
      const { message } = asUpstreamProxyError(error, 'internal-error', 'it failed')
      this.#logger.info(`the gateway's CA has not come yet: ${message}`)
      return false
    }
  }
}
