/**
 * The public names of the gateway.
 * @module ccr-upstream-gateway
 */

export {
  AUDIT_END_CODES,
  type AuditErrorCode,
  type AuditRecord,
  type InterceptAuditRecord,
  type RefusedAuditRecord,
  type TunnelAuditRecord,
} from './audit/audit-record.js'
export type { AuditTarget } from './audit/audit-sink.js'
export { LineWriter } from './audit/line-writer.js'
export {
  type CertificateAndKey,
  CertificateAuthority,
  type CertificateAuthorityOptions,
  createCertificateAuthority,
  issueServerCertificate,
  type ServerCertificateOptions,
} from './certificates/certificate-authority.js'
export type { KeyType } from './certificates/key-pair.js'
export type { CertificateConfig, GatewayConfig } from './config/config.js'
export { type ConfigPath, type ConfigProblem, GatewayConfigError } from './config/config-problem.js'
export type { ConfigOrigin } from './config/config-resolver.js'
export { configKeys, type ListenAddress } from './config/config-schema.js'
export { loadGatewayConfig, parseGatewayConfig } from './config/load-config.js'
export { applyRule, applyRuleAfter401, type RuledFields } from './credentials/apply-rule.js'
export { Secret } from './credentials/secrets/secret.js'
export type { Lookup, OriginConfig } from './origin/dialer.js'
export type { Policy, SessionLimits } from './policy/policy.js'
export { type RequestPath, readPrefix } from './policy/request-path.js'
export {
  findRule,
  type HostRules,
  type RequestTraits,
  type Rule,
  type RuledHost,
  type RuleMatch,
  type RuleVerdict,
} from './policy/rule.js'
export type { Field, OutgoingHead, Span, Taint, Transform } from './policy/transform.js'
export { REFUSALS, type RefusalCode } from './refusal.js'
export type { Gateway, GatewayOptions } from './server/gateway.js'
export { GatewayStartError } from './server/start-error.js'
export { checkGatewayConfig, startGateway } from './server/start-gateway.js'
export { hashToken, type SessionConfig } from './sessions/sessions.js'
