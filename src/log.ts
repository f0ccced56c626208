// The log: one line an event, to standard error unless the program gives a sink. Every line names a code or a fact; none
// may hold a secret, so nothing but texts of our own making comes in here.

import type { ErrorCode, UpstreamProxyError } from './errors.js'

/** How much is logged. Each level has what the ones before it have. */
export type LogLevel = 'silent' | 'error' | 'warn' | 'info' | 'debug'

/** From nothing to everything. */
export const LOG_LEVELS: readonly LogLevel[] = ['silent', 'error', 'warn', 'info', 'debug']

/** One line of the log. */
export interface LogEntry {
  readonly level: Exclude<LogLevel, 'silent'>
  readonly message: string
  readonly code?: ErrorCode
  readonly hint?: string
}

/** Where entries go. */
export type LogSink = (entry: LogEntry) => void

/** What the parts of this package log with. */
export interface Logger {
  error(error: UpstreamProxyError): void
  warn(error: UpstreamProxyError): void
  info(message: string): void
  debug(message: string): void
}

/** A logger that passes entries up to `level` on to `sink`. */
export function createLogger(level: LogLevel, sink: LogSink = writeToStderr): Logger {
  const limit = LOG_LEVELS.indexOf(level)
  const put = (entry: LogEntry): void => {
    if (LOG_LEVELS.indexOf(entry.level) <= limit) sink(entry)
  }
  return {
    error: ({ code, message, hint }) => put({ level: 'error', code, message, hint }),
    warn: ({ code, message, hint }) => put({ level: 'warn', code, message, hint }),
    info: (message) => put({ level: 'info', message }),
    debug: (message) => put({ level: 'debug', message }),
  }
}

/** `ccr-upstream-proxy: warn [code] message; hint: …` */
export function formatEntry({ level, code, message, hint }: LogEntry): string {
  const tag = code === undefined ? '' : ` [${code}]`
  const advice = hint === undefined ? '' : `; hint: ${hint}`
  return `ccr-upstream-proxy: ${level}${tag} ${message}${advice}`
}

function writeToStderr(entry: LogEntry): void {
  process.stderr.write(`${formatEntry(entry)}\n`)
}
