/**
 * The public names of the gateway.
 * @module ccr-upstream-gateway
 */

export {
  type CertificateConfig,
  type ConfigOrigin,
  type GatewayConfig,
  loadGatewayConfig,
  parseGatewayConfig,
  type UpstreamConfig,
} from './config/config.js'
export { type ConfigPath, type ConfigProblem, GatewayConfigError } from './config/config-problem.js'
export { configKeys, type ListenAddress } from './config/config-schema.js'
export type { Policy, SessionLimits } from './config/policy.js'
export { checkGatewayConfig, type Gateway, type GatewayOptions, startGateway } from './gateway.js'
export {
  type CertificateAndKey,
  CertificateAuthority,
  type CertificateAuthorityOptions,
  createCertificateAuthority,
  issueServerCertificate,
  type ServerCertificateOptions,
} from './intercept/certificate-authority.js'
export {
  applyRule,
  applyRuleAfter401,
  type RuledFields,
  type Transform,
  type Transforms,
} from './intercept/credentials.js'
export type { HostRules, Rule } from './intercept/inject.js'
export {
  AUDIT_END_CODES,
  type AuditErrorCode,
  type AuditRecord,
  type AuditTarget,
  type InterceptAuditRecord,
  type RefusedAuditRecord,
  type TunnelAuditRecord,
} from './operation/audit.js'
export { LineWriter } from './operation/line-writer.js'
export { REFUSALS, type RefusalCode } from './refusal.js'
export { Secret } from './secrets/secret.js'
export { hashToken, type SessionConfig } from './sessions/sessions.js'
export { GatewayStartError } from './start-error.js'
export type { Lookup } from './upstream/upstream.js'
