// Takes the secrets that went into a request out of what the origin sends back in heads and trailers. Bodies are not looked
// at: they come compressed, in pieces and in any encoding, and a promise about them could not be kept.

import { fieldPairs, type RawFields } from '../fields.js'
import type { Span, Taint } from '../policy/transform.js'

const REPLACEMENT = '[redacted]'
/** Brackets may not stand in the name of a field (RFC 9110, section 5.1). */
const REPLACEMENT_IN_NAMES = 'redacted'

/** Finds the secrets of one request. */
export class Redactor {
  readonly #secrets: readonly Taint[]

  constructor(secrets: readonly Taint[]) {
    this.#secrets = secrets
  }

  text(value: string): string {
    return this.#redact(value, REPLACEMENT)
  }

  /** A length stays, whatever secret it equals: it says where the answer ends. */
  fields(fields: RawFields): string[] {
    return [...fieldPairs(fields)].flatMap(([name, value]) => [
      this.#redact(name, REPLACEMENT_IN_NAMES),
      name.toLowerCase() === 'content-length' ? value : this.text(value),
    ])
  }

  #redact(text: string, replacement: string): string {
    const spans = this.#secrets.flatMap((secret) => secret.spansIn(text))
    return spans.length === 0 ? text : replaceSpans(text, spans, replacement)
  }
}

/** Spans that overlap are one. */
function replaceSpans(text: string, spans: readonly Span[], replacement: string): string {
  let result = ''
  let at = 0
  for (const [start, end] of [...spans].sort(([one], [other]) => one - other)) {
    if (start >= at) result += text.slice(at, start) + replacement
    at = Math.max(at, end)
  }
  return result + text.slice(at)
}
