// A text of the config that secrets are filled into: what it is now, which secrets are in it, and where they come from.

import { assertHeaderText, type SecretSource } from './secret-source.js'
import { SecretValue } from './secret-value.js'

/** What a template is with the secrets of now. */
export interface FilledText {
  readonly text: string
  /** What in it must not come back. The rest of the text is the config's, and no secret. */
  readonly secrets: readonly SecretValue[]
}

/** How a template is put together. */
export interface TemplateParts {
  /** Where its secrets come from, in the order in which `join` takes them. */
  readonly sources: readonly SecretSource[]
  readonly join: (secrets: readonly string[]) => string
  /** What is made of the secrets, and is one as well. */
  readonly derive?: (text: string) => readonly string[]
}

export class FilledTemplate {
  readonly sources: readonly SecretSource[]
  readonly join: TemplateParts['join']
  readonly #derive: NonNullable<TemplateParts['derive']>
  /** By the first secret, so that a value that has been replaced is not kept by what was made of it. */
  readonly #filled = new WeakMap<SecretValue, FilledText>()

  constructor({ sources, join, derive = () => [] }: TemplateParts) {
    this.sources = sources
    this.join = join
    this.#derive = derive
  }

  /** @throws {SecretError} */
  now(): FilledText {
    const values = this.sources.map((source) => source.current())
    const [first] = values
    if (first === undefined) return { text: this.join([]), secrets: [] }
    const known = this.#filled.get(first)
    if (known !== undefined && values.every((value, index) => value === known.secrets[index])) return known
    const filled = this.#fill(values)
    this.#filled.set(first, filled)
    return filled
  }

  #fill(values: readonly SecretValue[]): FilledText {
    const text = this.join(values.map((value) => value.reveal()))
    const derived = this.#derive(text).map((secret) => new SecretValue(secret))
    return { text, secrets: [...values, ...derived] }
  }

  /**
   * What is known now is checked now; the value of a command is checked when the command has run.
   * @throws {SecretError} when it is no value that a header may have
   */
  assertHeaderText(): void {
    if (this.sources.every(({ isReady }) => isReady)) assertHeaderText(this.now().text)
  }

  /** Fetches anew what may help. Never rejects. */
  async refresh(): Promise<void> {
    await Promise.all(this.sources.map((source) => source.refresh()))
  }
}
