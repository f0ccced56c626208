// The thread in which the token is held, certificates are read and the relay runs: the program's own (local-home.ts), or one of its own
// (relay-thread.ts), so that a program that blocks its event loop does not block the tunnels. doc/worker-thread.md has the
// figures behind the default.

import { asUpstreamProxyError, UpstreamProxyError } from '../errors.js'
import type { Logger } from '../log.js'
import type { TokenSource } from '../relay/credential.js'
import type { Relay, RelayOptions } from '../relay/relay.js'
import type { ProvidedCertificates, ProvisionInputs } from '../system/certificates/certificate-keeper.js'
import type { CertificateSources } from '../system/certificates/certificate-sources.js'
import { RelayThread } from './relay-thread.js'

/** `worker`: the relay has a thread of its own. `main`: it runs in the thread that starts it. */
export type RelayThreadChoice = 'worker' | 'main'

/**
 * Options of a relay whose logger the home has already, and mostly its token and whom to trust: what readTokenFile() and
 * readCertificates() have read, unless it is given.
 */
export type HomeRelayOptions = Omit<RelayOptions, 'logger' | 'token'> & {
  readonly token?: string | TokenSource
}

/** Where the gateway's CA comes from, and where the files go; the way to it is the relay's. */
export type HomeProvision = Omit<ProvisionInputs, 'download'>

/** Every method rejects with an UpstreamProxyError; `thread-ended` when the thread is not there any more. */
export interface RelayHome {
  /** Reads what the machine trusts. */
  readCertificates(sources: CertificateSources): Promise<void>
  /** As readSessionToken(): the token is in this home from here on, and in no other thread. */
  readTokenFile(path: string): Promise<void>
  /** Empties and unlinks the token file; the errno of what failed, or 0. */
  removeTokenFile(): Promise<number>
  /** Starts the one relay of this home. */
  listen(options: HomeRelayOptions): Promise<Relay>
  /** As CertificateKeeper's: once the relay listens, until it is closed. */
  provideCertificates(inputs: HomeProvision): Promise<ProvidedCertificates>
  /** Closes the relay if there is one, wipes the token, ends the thread. Only the first call's grace counts. */
  close(graceMs?: number): Promise<void>
}

/** On both runtimes: a program that blocks for 200 ms of every 250 holds up none of its tunnels, for 6 to 14 MiB. */
export const DEFAULT_THREAD: RelayThreadChoice = 'worker'

/**
 * Makes a home; in this thread too where there cannot be another one, which is said in the log. What comes of it never
 * rejects.
 * @throws {UpstreamProxyError} `config-invalid` when `choice` is neither
 */
export function openRelayHome(choice: RelayThreadChoice = DEFAULT_THREAD, logger: Logger): Promise<RelayHome> {
  switch (choice) {
    case 'worker':
      return RelayThread.start(logger).catch((error: unknown) => {
        const { message } = asUpstreamProxyError(error, 'thread-ended', 'no thread can be started')
        logger.info(`the relay runs in the main thread: ${message}`)
        return openLocalHome(logger)
      })
    case 'main':
      return openLocalHome(logger)
    default:
      throw new UpstreamProxyError('config-invalid', 'thread is neither worker nor main')
  }
}

/** Its code is loaded only here: a program whose relay has a thread does not need it. */
async function openLocalHome(logger: Logger): Promise<RelayHome> {
  const { LocalHome } = await import('./local-home.js')
  return new LocalHome(logger)
}
