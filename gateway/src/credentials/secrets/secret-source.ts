// Where secrets come from while the gateway runs: what a source is, and the one that never changes. The others have files
// of their own.
//
// Rules:
// - `current()` never waits: what has to be fetched is fetched ahead, and the last good value stays until there is a
//   better one. A source that fails is said once, and once more when it works again.
// - A value that no header may have is no value: it would end a request in the middle of its head.
// - No message holds a value, nor what a command printed.

import { SecretValue } from './secret-value.js'

/** A secret that cannot be had. The message names the variable, the file or the failure, never a value. */
export class SecretError extends Error {
  override readonly name = 'SecretError'
}

/** One source. */
export interface SecretSource {
  /** Whether it has a value; a command has none before it was run. */
  readonly isReady: boolean
  /** The same object until there is another value. @throws {SecretError} when there is none yet */
  current(): SecretValue
  /** Fetches the value anew if that may help. Never rejects. */
  refresh(): Promise<void>
}

/** Reports trouble to the operator. */
export type SecretReporter = (message: string) => void

/** A secret is a header field; none comes near this, and a wrong file (a log, a disk image) is not read whole. */
export const MAX_SECRET_BYTES = 65_536

/** A value that stays as it is. */
export class FixedSecret implements SecretSource {
  readonly isReady = true
  readonly #value: SecretValue

  constructor(value: string) {
    this.#value = new SecretValue(value)
  }

  current(): SecretValue {
    return this.#value
  }

  async refresh(): Promise<void> {}
}

/** RFC 9110, section 5.5, without its obsolete bytes: visible ASCII, blanks and tabs only inside. */
export function isHeaderText(value: string): boolean {
  return /^[!-~](?:[\t -~]*[!-~])?$/.test(value)
}

const NO_HEADER_TEXT = 'gives a value that no header may have: visible ASCII in one line, no blanks around it'

/** @throws {SecretError} naming `subject`, if any, and never the value */
export function assertHeaderText(value: string, subject?: string): string {
  if (isHeaderText(value)) return value
  throw new SecretError(subject === undefined ? NO_HEADER_TEXT : `${subject} ${NO_HEADER_TEXT}`)
}
