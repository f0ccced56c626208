// What the demo prints: numbered steps, commands, their output, and claims that are checked. Colour only on a terminal.

/** A claim of the demo is not so. */
export class ClaimError extends Error {
  override readonly name = 'ClaimError'
}

const BOLD = '1'
const FAINT = '2'
const GREEN = '32'

/** Writes the transcript to `put`. */
export class Transcript {
  readonly #put: (text: string) => void
  readonly #isColoured: boolean
  #step = 0

  constructor(put: (text: string) => void, isColoured: boolean) {
    this.#put = put
    this.#isColoured = isColoured
  }

  title(text: string): void {
    this.#put(`${this.#paint(BOLD, text)}\n`)
  }

  step(text: string): void {
    this.#step++
    this.#put(`\n${this.#paint(BOLD, `${this.#step}. ${text}`)}\n`)
  }

  /** A command as somebody would type it. */
  command(text: string): void {
    this.#put(`   $ ${text.replaceAll('\n', '\n   > ')}\n`)
  }

  /** What a command wrote. */
  output(text: string): void {
    const lines = text.split('\n')
    if (lines.at(-1) === '') lines.pop()
    for (const line of lines) this.#put(`   ${this.#paint(FAINT, line)}\n`)
  }

  note(text: string): void {
    this.#put(`   ${text}\n`)
  }

  /**
   * Says that `claim` holds.
   * @throws {ClaimError} when it does not
   */
  claim(claim: string, holds: boolean): void {
    if (!holds) throw new ClaimError(`this is not so: ${claim}`)
    this.#put(`   ${this.#paint(GREEN, '✓')} ${claim}\n`)
  }

  #paint(code: string, text: string): string {
    return this.#isColoured ? `\x1b[${code}m${text}\x1b[0m` : text
  }
}
