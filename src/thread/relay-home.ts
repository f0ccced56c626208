// The thread in which the token is held, certificates are read and the relay runs: the program's own (local-home.ts), or
// one of its own (relay-thread.ts). Which of them is open-relay-home.ts's to say.

import type { TokenSource } from '../relay/credential.js'
import type { Relay, RelayOptions } from '../relay/relay.js'
import type { ProvidedCertificates, ProvisionInputs } from '../system/certificates/certificate-keeper.js'
import type { CertificateSources } from '../system/certificates/certificate-sources.js'

/**
 * Options of a relay whose logger the home has already, and mostly its token and whom to trust: what readTokenFile() and
 * readCertificates() have read, unless it is given.
 */
export type HomeRelayOptions = Omit<RelayOptions, 'logger' | 'token'> & {
  readonly token?: string | TokenSource
}

/** Where the gateway's CA comes from, and where the files go; the way to it is the relay's. */
export type HomeProvision = Omit<ProvisionInputs, 'download' | 'onLateCa'>

/** Where the session token comes from. */
export interface TokenFile {
  readonly path: string
  /** Whether the process is hardened, and has to be whenever a token is read. */
  readonly isHardened: boolean
}

/** Every method rejects with an UpstreamProxyError; `thread-ended` when the thread is not there any more. */
export interface RelayHome {
  /** Reads what the machine trusts. */
  readCertificates(sources: CertificateSources): Promise<void>
  /** As readSessionToken(): the token is in this home from here on, and in no other thread. */
  readTokenFile(file: TokenFile): Promise<void>
  /** Empties and unlinks the token file; what fails is a warning. From here on a new one is taken (TokenKeeper). */
  removeTokenFile(): Promise<void>
  /** Starts the one relay of this home. */
  listen(options: HomeRelayOptions): Promise<Relay>
  /** As CertificateKeeper's: once the relay listens, until it is closed. */
  provideCertificates(inputs: HomeProvision): Promise<ProvidedCertificates>
  /** Closes the relay if there is one, wipes the token, ends the thread. Only the first call's grace counts. */
  close(graceMs?: number): Promise<void>
}
