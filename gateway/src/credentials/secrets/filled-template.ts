// A text of the config with its secrets filled in: what it is now, and where that comes from.

import { Secret } from './secret.js'
import { assertHeaderText, type SecretSource } from './secret-source.js'

/** Its value is read anew for every use. */
export class FilledTemplate extends Secret {
  readonly sources: readonly SecretSource[]

  constructor(read: () => string, sources: readonly SecretSource[]) {
    super(read)
    this.sources = sources
  }

  /**
   * What is known now is checked now; the value of a command is checked when the command has run.
   * @throws {SecretError} when it is no value that a header may have
   */
  assertHeaderText(): void {
    if (this.sources.every(({ isReady }) => isReady)) assertHeaderText(this.reveal())
  }

  /** Fetches anew what may help. Never rejects. */
  async refresh(): Promise<void> {
    await Promise.all(this.sources.map((source) => source.refresh()))
  }
}
