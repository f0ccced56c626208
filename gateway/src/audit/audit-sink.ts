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
  /** Writes what is waiting, and waits for no reader that stands still. */
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

/** A sink that hands records to a function, for programs that embed the gateway; what it throws, now or later, is a warning. */
export function functionSink(take: (record: AuditRecord) => void, warn: (message: string) => void): AuditSink {
  const onThrown = () => warn('a record was not taken by the function that the audit goes to')
  const write = (record: AuditRecord) => {
    try {
      const taking: unknown = take(record)
      if (taking instanceof Promise) taking.catch(onThrown)
    } catch {
      onThrown()
    }
  }
  return { write, lost: 0, reopen: async () => {}, close: async () => {} }
}

/**
 * Asking for the stream makes its descriptor non-blocking, where it is a pipe or a socket. A write to a blocking one whose
 * reader stands still would hold a thread, and the process could not end.
 */
function lineTarget(target: AuditTarget): LineTarget {
  if (target === 'stdout') return { descriptor: process.stdout.fd }
  return target === 'stderr' ? { descriptor: process.stderr.fd } : target
}
