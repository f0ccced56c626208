// Where the audit's records go: as lines to a file or a stream, or to a function.

import type { AuditRecord } from './audit-record.js'
import { type LineTarget, LineWriter } from './line-writer.js'

/** Where records go. */
export interface AuditSink {
  write(record: AuditRecord): void
  /** Records that were not written. */
  readonly lost: number
  /** For a rotation that moved the file away. */
  reopen(): Promise<void>
  /** Writes what is waiting. */
  close(): Promise<void>
}

/** The target of the audit as the config has it. */
export type AuditTarget = 'stdout' | 'stderr' | { readonly file: string }

/**
 * Opens the audit. `warn` is told when lines are being lost, and when that is over.
 * @throws the file system's error when the file cannot be opened
 */
export function openAudit(target: AuditTarget, warn: (message: string) => void): AuditSink {
  const writer = new LineWriter(lineTarget(target), warn)
  return {
    write: (record) => writer.write(`${JSON.stringify(record)}\n`),
    get lost() {
      return writer.lost
    },
    reopen: () => writer.reopen(),
    close: () => writer.close(),
  }
}

/** A sink that hands records to a function, for programs that embed the gateway. */
export function functionSink(take: (record: AuditRecord) => void): AuditSink {
  return { write: take, lost: 0, reopen: async () => {}, close: async () => {} }
}

function lineTarget(target: AuditTarget): LineTarget {
  if (target === 'stdout') return { descriptor: 1 }
  return target === 'stderr' ? { descriptor: 2 } : target
}
