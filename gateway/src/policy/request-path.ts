// How the path of a request is read: whether origins agree on it, and which prefixes it is under. Pure.
//
// Rules:
// - What common origins read as different paths is not read at all: encoded slashes, backslashes, `;` (parameters to Java's,
//   text to others), empty and dot segments, a second layer of encoding, control characters, and bytes that are no UTF-8.
// - Rules are matched with the normal form of RFC 3986, section 6.2.2. A percent-encoded letter is that letter there, and
//   the origin gets it as it came: both spellings name one resource, in every origin that keeps to section 2.3.
// - The lenient form is what the most forgiving origin makes of a path. It matches nothing: it only tells that a path which
//   misses a rule is under it for some origin.

/** A path that origins agree on. */
export interface RequestPath {
  readonly normal: string
  readonly lenient: string
}

/** Backslashes, `;` and control characters, and what is percent-encoded after it was decoded (`%u` is Microsoft's). */
const UNCLEAR = /[\\;\p{Cc}]|%(?:u|[0-9A-Fa-f]{2})/u

/** Reads a path without its query; undefined when origins read it in different ways. */
export function readPath(path: string): RequestPath | undefined {
  const text = decode(path)
  if (text === undefined || /%2f/i.test(path) || UNCLEAR.test(text)) return undefined
  // Only the last segment may be empty, and none is blanks and dots, which Windows drops; `?` and `#` may end it.
  if (/\/[\s.]*\/|\/[\s.]+(?:[?#]|$)/.test(text)) return undefined
  return { normal: normalForm(path), lenient: lenientForm(text) }
}

/** Reads the prefix of a rule; undefined when no path that is read could be under it. */
export function readPrefix(prefix: string): RequestPath | undefined {
  const path = readPath(prefix)
  // The lenient form of a path ends at these, so that nothing of it would be under that of the prefix.
  if (path === undefined || /[?#]|%3F|%23/.test(path.normal)) return undefined
  return { normal: path.normal.replace(/\/$/, ''), lenient: path.lenient.replace(/\/$/, '') }
}

/** Whether a path is that of `prefix` or below it, in whole segments; both in one form. */
export function isUnder(path: string, prefix: string): boolean {
  return path === prefix || path.startsWith(`${prefix}/`)
}

/** The text that `path` encodes; undefined for a stray `%` and for what is no UTF-8. */
function decode(path: string): string | undefined {
  try {
    return decodeURIComponent(path)
  } catch {
    return undefined
  }
}

/** RFC 3986, section 6.2.2: what need not be encoded is not, and hex digits are in upper case. */
function normalForm(path: string): string {
  return path.replace(/%[0-9A-Fa-f]{2}/g, (encoded) => {
    const character = String.fromCharCode(Number.parseInt(encoded.slice(1), 16))
    return /[A-Za-z0-9._~-]/.test(character) ? character : encoded.toUpperCase()
  })
}

/**
 * Without regard to case (Express, IIS), blanks around a segment and dots at its end (Windows), and to whether a reserved
 * character is encoded; a `?` or `#` that was encoded ends it (rewriting proxies that split again after decoding).
 */
function lenientForm(text: string): string {
  const [path] = text.split(/[?#]/, 1) as [string]
  return path.replace(/(?<=\/)\s+|(?<![\s.])[\s.]+(?=\/|$)/g, '').toUpperCase()
}
