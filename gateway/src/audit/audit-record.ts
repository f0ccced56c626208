// The audit: one JSON line per intercepted request, per spliced tunnel and per refused CONNECT. Names of injected
// headers are in it, values never; of a path the query is left out, because queries carry credentials. The published
// shape is audit.schema.json.

import type { RefusalCode } from '../refusal.js'

interface AuditCommon {
  /** When it began, RFC 3339. */
  readonly time: string
  /** The session's id. */
  readonly session: string
  /** A random id; all requests of one tunnel share it. */
  readonly tunnel: string
  /** The relay's id of the tunnel, from X-Request-Id in the CONNECT head. */
  readonly requestId?: string
  /** Duration in milliseconds. */
  readonly ms: number
}

/** One request inside an intercepted tunnel. */
export interface InterceptAuditRecord extends AuditCommon {
  readonly mode: 'intercept'
  readonly method: string
  /** Host and port of the CONNECT, in canonical form. */
  readonly host: string
  readonly port: number
  /** Without the query. */
  readonly path: string
  /** The status that the client got; 0 when it got none. */
  readonly status: number
  /** Bytes of the bodies, without heads and framing. */
  readonly requestBytes: number
  readonly responseBytes: number
  /** Names of the headers that were injected. */
  readonly injected: readonly string[]
  /** The host pattern and the index of the rule that matched, `api.example.com[0]`. */
  readonly rule?: string
  /** Why it ended early, if it did. */
  readonly error?: AuditErrorCode
}

/** One spliced tunnel, at its end. */
export interface TunnelAuditRecord extends AuditCommon {
  readonly mode: 'tunnel'
  /** Host and port of the CONNECT, in canonical form. */
  readonly host: string
  readonly port: number
  /** Bytes to the origin, and from it. */
  readonly bytesUp: number
  readonly bytesDown: number
  /** Why it ended early, if it did. */
  readonly error?: AuditErrorCode
}

/** One CONNECT that was refused, or whose client did not get through the TLS handshake. */
export interface RefusedAuditRecord extends AuditCommon {
  readonly mode: 'refused'
  /** Host and port of the CONNECT, where there was a good one. */
  readonly host?: string
  readonly port?: number
  readonly code: AuditErrorCode
  /** The status that the client got; 0 when it got none. */
  readonly status: number
}

/** One line of the audit. */
export type AuditRecord = InterceptAuditRecord | TunnelAuditRecord | RefusedAuditRecord

/** Ends that no answer could say. */
export const AUDIT_END_CODES = [
  'client-closed',
  'client-flood',
  'client-protocol-error',
  'client-tls-failed',
  'sni-mismatch',
  'upstream-aborted',
  'session-ended',
] as const

/** Why something ended early: a refusal that was answered, or an end that no answer could say. */
export type AuditErrorCode = RefusalCode | (typeof AUDIT_END_CODES)[number]
