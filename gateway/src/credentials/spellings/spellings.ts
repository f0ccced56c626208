// Finds texts in another one, in whichever spelling: as they are, in Base64 and in hex, and each character of that as it is
// or as an escape. Pure.
//
// Rules:
// - Characters that one spelling has for another are the same (see FOLDED): so Base64 and base64url are one form, upper and
//   lower hex, `+` and `%20`. Names of fields, which HTTP/2 makes lower case, are found by that too.
// - A text is looked for at every place, so that what stands before it (half an escape, say) cannot hide it.
// - The work is linear in the length of what is searched, whatever is looked for. Where there is so much that is almost a
//   secret that it would take more, all of it is taken for one.

import type { Span } from '../../policy/transform.js'
import { beginsEscape, escapesAt } from './escapes.js'

/** What a search has found, and what that took. */
export interface SearchResult {
  readonly spans: readonly Span[]
  readonly steps: number
}

/** A spelling, character by character as FOLDED has them. */
type Form = Uint8Array
/** By the code of their first character; none are for characters that begin neither a form nor an escape. */
type FormsByFirst = readonly (readonly Form[] | undefined)[]

/** For each text that is looked for. What is that text takes a step a character; what has nothing to do with it, half a step. */
const MAX_STEPS_PER_CHARACTER = 4
/** It has two characters at least, and takes longer to be read. */
const STEPS_OF_ESCAPE = 4
/** For texts that are short anyhow, such as a line of dashes where a secret begins with some. */
const FREE_STEPS = 1_024

const NOTHING: SearchResult = { spans: [], steps: 0 }

export class Spellings {
  readonly #forms: FormsByFirst
  readonly #shortest: number
  readonly #maxStepsPerCharacter: number

  constructor(texts: readonly string[]) {
    const forms = texts.flatMap(formsOf)
    this.#forms = Array.from(FOLDED, (folded, code) => {
      const first = forms.filter((form) => form[0] === folded)
      return first.length > 0 || beginsEscape(code) ? first : undefined
    })
    this.#shortest = Math.min(...forms.map(({ length }) => length))
    this.#maxStepsPerCharacter = texts.length * MAX_STEPS_PER_CHARACTER
  }

  search(text: string): SearchResult {
    if (text.length < this.#shortest) return NOTHING
    return new Search(text, this.#forms, text.length * this.#maxStepsPerCharacter + FREE_STEPS).run()
  }
}

/** One run through one text. */
class Search {
  readonly #text: string
  readonly #forms: FormsByFirst
  readonly #maxSteps: number
  readonly #spans: Span[] = []
  /** Other readings on the way through a form, each a place and what is to be there. */
  readonly #detours: { readonly at: number; readonly index: number }[] = []
  #steps = 0

  constructor(text: string, forms: FormsByFirst, maxSteps: number) {
    this.#text = text
    this.#forms = forms
    this.#maxSteps = maxSteps
  }

  run(): SearchResult {
    const [text, forms] = [this.#text, this.#forms]
    for (let at = 0; at < text.length; at++) {
      // Most characters begin nothing.
      if (forms[text.charCodeAt(at)] === undefined) continue
      this.#searchAt(at)
      if (this.#steps > this.#maxSteps) return { spans: [[0, text.length]], steps: this.#steps }
    }
    return { spans: this.#spans, steps: this.#steps }
  }

  #searchAt(at: number): void {
    const code = this.#text.charCodeAt(at)
    this.#tryForms(at, code, at + 1)
    if (!beginsEscape(code)) return
    for (const reading of escapesAt(this.#text, at)) this.#tryForms(at, reading.code, at + reading.length)
  }

  /** Tries the forms whose first character is `code`, which stands from `start` to `end`. */
  #tryForms(start: number, code: number, end: number): void {
    const forms = this.#forms[code]
    if (forms === undefined) return
    for (let index = 0; index < forms.length; index++) {
      const formEnd = this.#endOf(forms[index] as Form, end)
      if (formEnd >= 0) this.#spans.push([start, formEnd])
    }
  }

  /** Where `form` ends, if the rest of it begins at `from`; otherwise -1. */
  #endOf(form: Form, from: number): number {
    let at = from
    let index = 1
    while (index < form.length) {
      if (this.#steps > this.#maxSteps) return -1
      const end = this.#endOfCharacter(form, index, at)
      if (end >= 0) {
        at = end
        index++
      } else {
        const detour = this.#detours.pop()
        if (detour === undefined) return -1
        at = detour.at
        index = detour.index
      }
    }
    if (this.#detours.length > 0) this.#detours.length = 0
    return at
  }

  /** Where the character of `form` at `index` ends, if it begins at `at` in some reading; otherwise -1. */
  #endOfCharacter(form: Form, index: number, at: number): number {
    if (at >= this.#text.length) return -1
    const code = this.#text.charCodeAt(at)
    const asItIs = FOLDED[code] === form[index] ? at + 1 : -1
    if (beginsEscape(code)) return this.#endOfEscape(form, index, at, asItIs)
    this.#steps++
    return asItIs
  }

  #endOfEscape(form: Form, index: number, at: number, asItIs: number): number {
    this.#steps += STEPS_OF_ESCAPE
    // The longest first, so that nothing of it is left where the form ends with it.
    let found = asItIs
    for (const { code, length } of escapesAt(this.#text, at)) {
      if (FOLDED[code] !== form[index]) continue
      if (found >= 0) this.#detours.push({ at: found, index: index + 1 })
      found = at + length
    }
    return found
  }
}

/** What a text is in each spelling, but for escapes. It is a header's: ASCII. */
function formsOf(text: string): Form[] {
  const bytes = Buffer.from(text, 'latin1')
  const forms = [text, bytes.toString('hex'), ...[0, 1, 2].map((shift) => base64Digits(bytes, shift))]
  return forms.map((form) => Uint8Array.from(Buffer.from(form, 'latin1'), (code) => FOLDED[code] as number))
}

/** The digits that are all its own when `shift` bytes come before it: the others are shared with its neighbours. */
function base64Digits(bytes: Buffer, shift: number): string {
  const encoded = Buffer.concat([Buffer.alloc(shift), bytes]).toString('base64')
  const bits = (shift + bytes.length) * 8
  return encoded.slice(Math.ceil((shift * 8) / 6), Math.floor(bits / 6))
}

/** Codes of characters, and the one that stands for all that are the same. */
const FOLDED = Uint8Array.from({ length: 256 }, (_, code) => {
  const character = String.fromCharCode(code)
  if (character === ' ' || character === '-') return '+'.charCodeAt(0)
  if (character === '_') return '/'.charCodeAt(0)
  return /[A-Z]/.test(character) ? character.toLowerCase().charCodeAt(0) : code
})
