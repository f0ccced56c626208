// The report of `doctor` for people: a table that reads in 80 columns, with colour and progress on a terminal alone.

import type { Audience, Check } from '../doctor/check.js'
import { hasColour, takesControlSequences } from './terminal.js'

const LEFT = 4
const STATUS_WIDTH = 6
const NAME_WIDTH = 17
const INDENT = ' '.repeat(LEFT - 2 + STATUS_WIDTH + NAME_WIDTH)
const MOST_COLUMNS = 100

/** SGR codes (ECMA-48, section 8.3.117). */
const COLOURS: Readonly<Record<Check['status'], number>> = { pass: 32, warn: 33, fail: 31, skip: 2 }

/** Writes one line, or a few, for each check. */
export class TableReport implements Audience {
  readonly #out: NodeJS.WriteStream
  readonly #progress: Progress
  readonly #columns: number
  readonly #hasColour: boolean
  #group = ''

  constructor(out: NodeJS.WriteStream, progress: Progress) {
    this.#out = out
    this.#progress = progress
    this.#columns = Math.min(Math.max(out.isTTY ? out.columns : 80, 60), MOST_COLUMNS)
    this.#hasColour = hasColour(out)
  }

  begin(id: string): void {
    this.#progress.show(id)
  }

  end(check: Check): void {
    this.#progress.clear()
    if (check.group !== this.#group) {
      this.#out.write(`${this.#group === '' ? '' : '\n'}${check.group}\n`)
      this.#group = check.group
    }
    this.#out.write(`${this.#row(check)}\n`)
  }

  /** The last line. */
  conclude(checks: readonly Check[]): void {
    this.#out.write(`\n${conclusion(checks)}\n`)
  }

  #row({ id, status, seen = '', code, hop, hint }: Check): string {
    const name = id.replace(/^client /, '').padEnd(NAME_WIDTH)
    const mark = this.#paint(status, status.padEnd(STATUS_WIDTH))
    const lines = this.#wrap(code === undefined ? seen : `${seen} [${code}: ${hop}]`)
    if (hint !== undefined) lines.push(...this.#wrap(`→ ${hint}`))
    return `  ${mark}${name}${lines.join(`\n${INDENT}`)}`
  }

  #wrap(text: string): string[] {
    return wrap(text, this.#columns - INDENT.length)
  }

  #paint(status: Check['status'], text: string): string {
    return this.#hasColour ? `\x1b[${COLOURS[status]}m${text}\x1b[0m` : text
  }
}

/** What is being looked at, on a terminal's standard error; nothing anywhere else. */
export class Progress {
  readonly #out: NodeJS.WriteStream
  #isShown = false

  constructor(out: NodeJS.WriteStream) {
    this.#out = out
  }

  show(id: string): void {
    if (!takesControlSequences(this.#out)) return
    this.#isShown = true
    this.#out.write(`\r\x1b[Kchecking ${id} …`)
  }

  clear(): void {
    if (this.#isShown) this.#out.write('\r\x1b[K')
    this.#isShown = false
  }
}

function conclusion(checks: readonly Check[]): string {
  const failed = checks.filter(({ status }) => status === 'fail')
  const warned = checks.filter(({ status }) => status === 'warn').length
  const warnings = warned === 0 ? '' : ` ${warned} ${warned === 1 ? 'warning' : 'warnings'}.`
  const [first] = failed
  if (first === undefined) return `Nothing failed.${warnings}${whyNoClient(checks)}`
  const count = failed.length === 1 ? 'One check' : `${failed.length} checks`
  return `${count} failed, the first at the hop «${first.hop}»: ${first.code}.${warnings}`
}

/** Who reads only the last line shall not take it for the clients' too. */
function whyNoClient(checks: readonly Check[]): string {
  const { seen = '' } = checks.find(({ id, status }) => id === 'clients' && status === 'skip') ?? {}
  return seen === '' ? '' : ` ${seen.charAt(0).toUpperCase()}${seen.slice(1)}.`
}

/** Lines of at most `width` characters, broken at spaces; a longer word is cut. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ').flatMap((word) => cut(word, width))) {
    if (line === '') line = word
    else if (line.length + 1 + word.length <= width) line += ` ${word}`
    else {
      lines.push(line)
      line = word
    }
  }
  return [...lines, line]
}

function cut(word: string, width: number): string[] {
  if (word.length <= width) return [word]
  return [word.slice(0, width), ...cut(word.slice(width), width)]
}
