// A secret in a file, which is read again when it is another file than before.

import { statSync } from 'node:fs'
import { readForeignFile } from 'ccr-upstream-proxy/foreign-file'
import {
  assertHeaderText,
  MAX_SECRET_BYTES,
  SecretError,
  type SecretReporter,
  type SecretSource,
} from './secret-source.js'
import { SecretValue } from './secret-value.js'

/**
 * However many requests there are, and however many fields of each have the secret: a look blocks the event loop for as long
 * as a slow disk takes. What rotates a file lets the old value live on for longer than this; where it does not, a 401 is a
 * reason to look at once.
 */
const MIN_LOOK_INTERVAL_MS = 100

export class FileSecret implements SecretSource {
  readonly isReady = true
  readonly #path: string
  readonly #report: SecretReporter
  #value: SecretValue
  #stamp: string
  #lookedAt = performance.now()
  #isFailing = false

  /** @throws {SecretError} when there is no value to begin with */
  constructor(path: string, report: SecretReporter) {
    this.#path = path
    this.#report = report
    this.#stamp = stampOf(path)
    this.#value = new SecretValue(readHeaderText(path))
  }

  current(): SecretValue {
    if (performance.now() - this.#lookedAt >= MIN_LOOK_INTERVAL_MS) this.#look()
    return this.#value
  }

  async refresh(): Promise<void> {
    this.#look()
  }

  #look(): void {
    this.#lookedAt = performance.now()
    const stamp = stampOf(this.#path)
    if (stamp !== this.#stamp) this.#read(stamp)
  }

  #read(stamp: string): void {
    try {
      this.#value = this.#value.renewed(readHeaderText(this.#path))
      this.#stamp = stamp
      if (this.#isFailing) this.#report(`the file ${this.#path} is good again`)
      this.#isFailing = false
    } catch (error) {
      if (!this.#isFailing) this.#report(`${(error as Error).message}; its last value stays in use`)
      this.#isFailing = true
    }
  }
}

/** The content of a file without the one newline that editors put at its end. @throws {SecretError} */
export function readSecretFile(path: string, maxBytes: number = MAX_SECRET_BYTES): string {
  const file = readForeignFile(path, { maxBytes })
  if (file.problem !== undefined) throw new SecretError(`the file ${path} ${file.why}`)
  const value = file.bytes.toString('utf8').replace(/\r?\n$/, '')
  if (value === '') throw new SecretError(`the file ${path} is empty`)
  return value
}

function readHeaderText(path: string): string {
  return assertHeaderText(readSecretFile(path), `the file ${path}`)
}

/** Changes with the file: also when a link leads to another one, as mounted secrets of Kubernetes do. */
function stampOf(path: string): string {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false })
  return stat === undefined ? 'none' : `${stat.ino} ${stat.mtimeNs} ${stat.size}`
}
