// The characters that escapes stand for: of URLs, JSON, quoted strings and HTML. Pure.
//
// Which of them a text is written in is not known, nor whether it has escapes at all: `%41` may be an A, or a part of a
// secret. So all readings are given, besides the one that there is no escape.

/** A character that an escape stands for, and how long the escape is. */
export interface Reading {
  readonly code: number
  readonly length: number
}

const [TAB, QUOTE, PERCENT, AMPERSAND, APOSTROPHE, LESS, GREATER] = [0x09, 0x22, 0x25, 0x26, 0x27, 0x3c, 0x3e]
const [HASH, BACKSLASH, LOWER_A, LOWER_T, LOWER_U, LOWER_X] = [0x23, 0x5c, 0x61, 0x74, 0x75, 0x78]

const NO_READINGS: readonly Reading[] = []
/** Made once: an answer may be all escapes. */
const PERCENT_READINGS = Array.from({ length: 256 }, (_, code): readonly Reading[] => [{ code, length: 3 }])
const BACKSLASH_READINGS = Array.from({ length: 256 }, (_, code): readonly Reading[] => {
  const itself = { code, length: 2 }
  // Of the controls that JSON has escapes for, a secret may only have tabs.
  return code === LOWER_T ? [itself, { code: TAB, length: 2 }] : [itself]
})

/** Whether an escape may begin with the character. */
export function beginsEscape(code: number): boolean {
  return code === PERCENT || code === AMPERSAND || code === BACKSLASH
}

/** What begins at `at` may stand for, as an escape; longer ones last. */
export function escapesAt(text: string, at: number): readonly Reading[] {
  switch (text.charCodeAt(at)) {
    case PERCENT:
      return percentEscapes(text, at)
    case AMPERSAND:
      return characterReferences(text, at)
    case BACKSLASH:
      return backslashEscapes(text, at)
    default:
      return NO_READINGS
  }
}

/** A URL that is a parameter of a URL that is a parameter of another one. */
const MAX_PERCENT_LEVELS = 3

/** RFC 3986, section 2.1. `%252F` is a slash that was encoded twice, or the text `%2F`. */
function percentEscapes(text: string, at: number): readonly Reading[] {
  const code = hexNumber(text, at + 1, 2)
  if (code === undefined) return NO_READINGS
  return code === PERCENT ? percentLevels(text, at) : (PERCENT_READINGS[code] as readonly Reading[])
}

function percentLevels(text: string, at: number): readonly Reading[] {
  const readings: Reading[] = []
  for (let length = 3; readings.length < MAX_PERCENT_LEVELS; length += 2) {
    const code = hexNumber(text, at + length - 2, 2)
    if (code === undefined) break
    readings.push({ code, length })
    if (code !== PERCENT) break
  }
  return readings
}

/** RFC 9110, section 5.6.4, and RFC 8259, section 7. */
function backslashEscapes(text: string, at: number): readonly Reading[] {
  const next = text.charCodeAt(at + 1)
  const readings = BACKSLASH_READINGS[next] ?? NO_READINGS
  const code = next === LOWER_U ? hexNumber(text, at + 2, 4) : undefined
  return code === undefined ? readings : [...readings, { code, length: 6 }]
}

const NAMED_CHARACTERS: readonly (Reading & { readonly name: string })[] = [
  { name: '&amp', code: AMPERSAND, length: 4 },
  { name: '&lt', code: LESS, length: 3 },
  { name: '&gt', code: GREATER, length: 3 },
  { name: '&quot', code: QUOTE, length: 5 },
  { name: '&apos', code: APOSTROPHE, length: 5 },
]
/** No program writes more zeros in front. */
const MAX_REFERENCE_DIGITS = 7

/** HTML, sections 13.2.5.72 to 13.2.5.80: browsers do not ask for the semicolon. */
function characterReferences(text: string, at: number): readonly Reading[] {
  const reading = text.charCodeAt(at + 1) === HASH ? numericReference(text, at) : namedReference(text, at)
  if (reading === undefined) return NO_READINGS
  const { code, length } = reading
  return [{ code, length: text[at + length] === ';' ? length + 1 : length }]
}

function namedReference(text: string, at: number): Reading | undefined {
  if (!(text.charCodeAt(at + 1) >= LOWER_A)) return undefined
  for (const named of NAMED_CHARACTERS) if (text.startsWith(named.name, at)) return named
  return undefined
}

function numericReference(text: string, at: number): Reading | undefined {
  const isHex = (text.charCodeAt(at + 2) | 0x20) === LOWER_X
  const [from, base] = isHex ? [at + 3, 16] : [at + 2, 10]
  let [code, digits] = [0, 0]
  for (; digits < MAX_REFERENCE_DIGITS; digits++) {
    const digit = digitOf(text.charCodeAt(from + digits))
    if (digit >= base) break
    code = code * base + digit
  }
  return digits === 0 ? undefined : { code, length: from + digits - at }
}

/** Of exactly so many digits. */
function hexNumber(text: string, from: number, digits: number): number | undefined {
  let number = 0
  for (let at = from; at < from + digits; at++) {
    const digit = digitOf(text.charCodeAt(at))
    if (digit >= 16) return undefined
    number = number * 16 + digit
  }
  return number
}

/** Infinity for what is no digit. */
function digitOf(code: number): number {
  return DIGITS[code] ?? Number.POSITIVE_INFINITY
}

const DIGITS: readonly number[] = Array.from({ length: 128 }, (_, code) => {
  const value = Number.parseInt(String.fromCharCode(code), 16)
  return Number.isNaN(value) ? Number.POSITIVE_INFINITY : value
})
