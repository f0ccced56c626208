// The audit: one JSON line per intercepted request, per spliced tunnel and per refused CONNECT. Names of injected
// headers are in it, values never; of a path the query is left out, because queries carry credentials.

import { closeSync, openSync, writeSync } from 'node:fs'
import type { RefusalCode } from './refusal.js'

interface AuditCommon {
  /** When it began, RFC 3339. */
  readonly time: string
  readonly session: string
  /** A random id; all requests of one tunnel share it. */
  readonly tunnel: string
  /** Duration in milliseconds. */
  readonly ms: number
}

/** One request inside an intercepted tunnel. */
export interface InterceptAuditRecord extends AuditCommon {
  readonly mode: 'intercept'
  readonly method: string
  readonly host: string
  readonly port: number
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
  readonly error?: AuditErrorCode
}

/** One spliced tunnel, at its end. */
export interface TunnelAuditRecord extends AuditCommon {
  readonly mode: 'tunnel'
  readonly host: string
  readonly port: number
  readonly bytesUp: number
  readonly bytesDown: number
  readonly error?: AuditErrorCode
}

/** One CONNECT that was refused, or whose client did not get through the TLS handshake. */
export interface RefusedAuditRecord extends AuditCommon {
  readonly mode: 'refused'
  readonly host?: string
  readonly port?: number
  readonly code: AuditErrorCode
  /** The status that the client got; 0 when it got none. */
  readonly status: number
}

export type AuditRecord = InterceptAuditRecord | TunnelAuditRecord | RefusedAuditRecord

/** Why something ended early: a refusal that was answered, or an end that no answer could say. */
export type AuditErrorCode =
  | RefusalCode
  | 'client-closed'
  | 'client-tls-failed'
  | 'sni-mismatch'
  | 'upstream-aborted'
  | 'gateway-closed'

/** Where records go. */
export interface AuditSink {
  write(record: AuditRecord): void
  close(): void
}

/** The target of the audit as the config has it. */
export type AuditTarget = 'stdout' | 'stderr' | { readonly file: string }

/**
 * Opens the audit. Lines are written before the call returns: an audit that lags behind the traffic loses its end in a
 * crash, and would need a buffer with a limit and a rule for what to drop.
 * @throws the file system's error when the file cannot be opened
 */
export function openAudit(target: AuditTarget): AuditSink {
  if (target === 'stdout') return descriptorSink(1, () => {})
  if (target === 'stderr') return descriptorSink(2, () => {})
  const descriptor = openSync(target.file, 'a', 0o600)
  return descriptorSink(descriptor, () => closeSync(descriptor))
}

/** A sink that hands records to a function, for programs that embed the gateway. */
export function functionSink(take: (record: AuditRecord) => void): AuditSink {
  return { write: take, close: () => {} }
}

function descriptorSink(descriptor: number, close: () => void): AuditSink {
  return { write: (record) => writeLine(descriptor, `${JSON.stringify(record)}\n`), close }
}

function writeLine(descriptor: number, line: string): void {
  const bytes = Buffer.from(line)
  let at = 0
  while (at < bytes.length) at += writeSome(descriptor, bytes, at)
}

function writeSome(descriptor: number, bytes: Buffer, at: number): number {
  try {
    return writeSync(descriptor, bytes, at)
  } catch (error) {
    // A pipe whose reader is behind and that someone made non-blocking: wait for it, as a blocking one would.
    if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
    return 0
  }
}
