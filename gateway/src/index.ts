// Public names of the gateway.

export {
  AUDIT_END_CODES,
  type AuditErrorCode,
  type AuditRecord,
  type AuditTarget,
  type InterceptAuditRecord,
  type RefusedAuditRecord,
  type TunnelAuditRecord,
} from './audit.js'
export {
  type CertificateAndKey,
  CertificateAuthority,
  type CertificateAuthorityOptions,
  createCertificateAuthority,
  issueServerCertificate,
  type ServerCertificateOptions,
} from './certificate-authority.js'
export {
  type CertificateConfig,
  type ConfigOrigin,
  type GatewayConfig,
  loadGatewayConfig,
  parseGatewayConfig,
  type UpstreamConfig,
} from './config.js'
export { type ConfigPath, type ConfigProblem, GatewayConfigError } from './config-problem.js'
export { configKeys, type ListenAddress } from './config-schema.js'
export { applyRule, applyRuleAfter401, type RuledFields, type Transform, type Transforms } from './credentials.js'
export { checkGatewayConfig, type Gateway, type GatewayOptions, startGateway } from './gateway.js'
export type { HostRules, Rule } from './inject.js'
export { LineWriter } from './line-writer.js'
export type { Policy, SessionLimits } from './policy.js'
export { REFUSALS, type RefusalCode } from './refusal.js'
export { Secret } from './secret.js'
export { hashToken, type SessionConfig } from './sessions.js'
export { GatewayStartError } from './start-error.js'
export type { Lookup } from './upstream.js'
