// What the checks have found so far, for the checks that build on it. What is undefined was not found: its check says why.

import type { X509Certificate } from 'node:crypto'
import type { HttpAnswer } from '../protocol/http-answer.js'
import type { GatewayAddress } from '../runtime/probe.js'
import type { CertificateFiles } from '../system/certificates/certificate-files.js'
import type { TrustedCertificates } from '../system/certificates/trusted-certificates.js'
import type { Environment } from '../system/environment.js'
import type { PrivateDirectory } from '../system/private-directory.js'
import type { Settings } from '../system/settings.js'
import type { SessionToken } from '../system/token.js'
import type { ExaminedRelay } from './examined-relay.js'
import type { RunningRelay } from './running-relay.js'
import type { Target } from './target.js'

export interface Ground {
  readonly environment: Environment
  /** The same without what a relay has put into it. */
  readonly container: Environment
  /** A relay of this user that runs; that of the environment where it names one. */
  readonly running: RunningRelay | undefined
  /** What is asked for through the tunnel; the gateway's own host unless it is given. */
  readonly targetUrl: URL | undefined
  /** The clients that are tried; all that are installed unless some are named. */
  readonly clientNames?: readonly string[] | undefined
  readonly settings?: Settings | undefined
  /** What clients reach past the relay. */
  readonly noProxy?: string | undefined
  readonly token?: SessionToken | undefined
  /** The relay that has taken the token: it, its files and its list are what clients have. */
  readonly holder?: RunningRelay | undefined
  readonly trusted?: TrustedCertificates | undefined
  readonly address?: GatewayAddress | undefined
  /** What the gateway answered to the first visit. */
  readonly gatewayAnswer?: HttpAnswer | undefined
  readonly gatewayCa?: readonly X509Certificate[] | undefined
  readonly bundle?: { readonly directory: PrivateDirectory; readonly files: CertificateFiles } | undefined
  readonly relay?: ExaminedRelay | undefined
  /** Where a request came through to. */
  readonly reached?: Target | undefined
  /** Nothing was asked for that a client could be tried with: somebody has to name it. */
  readonly needsTarget?: boolean
}
