// A config that is complete and checked: after it nothing about the configuration can fail but the network.

import type { AuditTarget } from '../audit/audit-sink.js'
import type { Secret } from '../credentials/secrets/secret.js'
import type { SecretStore } from '../credentials/secrets/secret-store.js'
import type { OriginConfig } from '../origin/dialer.js'
import type { ForwardConfig } from '../origin/forward-proxy.js'
import type { Policy } from '../policy/policy.js'
import type { SessionConfig } from '../sessions/sessions.js'
import type { TokenVerifierConfig } from '../sessions/token-verifier.js'
import type { ConfigPath } from './config-problem.js'
import type { ListenAddress } from './config-schema.js'

/** A PEM certificate (chain) and its key. */
export interface CertificateConfig {
  readonly certificatePem: string
  readonly privateKeyPem: Secret
}

/** A config that is complete: defaults filled in, files read. The top level is the policy of sessions without their own. */
export interface GatewayConfig extends Policy {
  /** Where relays come in. */
  readonly listen: ListenAddress
  /** Of the URLs there. */
  readonly paths: { readonly tunnel: string; readonly caCertificate: string; readonly health: string }
  /** Where metrics and probes are; undefined is nowhere. */
  readonly admin: { readonly listen: ListenAddress } | undefined
  /** The gateway's own TLS; undefined only on loopback. */
  readonly tls: CertificateConfig | undefined
  /** The interception CA. With `forward` it is that proxy's, and its key is not here. */
  readonly ca: Pick<CertificateConfig, 'certificatePem'> & { readonly privateKeyPem: Secret | undefined }
  /** Sessions with a token of their own. */
  readonly sessions: readonly SessionConfig[]
  /** Issuers whose tokens are sessions. */
  readonly jwt: readonly TokenVerifierConfig[]
  readonly audit: AuditTarget
  /** The way to origins. */
  readonly upstream: OriginConfig
  /** The proxy that tunnels are handed to; undefined without one. */
  readonly forward: ForwardConfig | undefined
  /** What the named secrets are read from. */
  readonly secrets: SecretStore
  /** Where in the file a key stands, `gateway.yaml:12`. */
  readonly locate: (path: ConfigPath) => string
}
