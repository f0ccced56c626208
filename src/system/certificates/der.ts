// Just enough of DER (X.690) to read what node:crypto does not say of a certificate: its extensions, and which are critical.

/** One element: its tag, and its content. */
interface Element {
  readonly tag: number
  readonly content: Buffer
}

/** One extension of a certificate (RFC 5280, section 4.1). */
export interface Extension {
  /** Dotted decimal. */
  readonly id: string
  readonly isCritical: boolean
  /** DER of the value. */
  readonly value: Buffer
}

const BOOLEAN = 0x01
const OCTET_STRING = 0x04
const OBJECT_IDENTIFIER = 0x06
/** `[3] EXPLICIT`, where a TBSCertificate has its extensions. */
const EXTENSIONS = 0xa3

/**
 * The extensions of a certificate, in order.
 * @param certificate DER that a parser has accepted already
 */
export function readExtensions(certificate: Buffer): readonly Extension[] {
  const toBeSigned = elements(elements(certificate)[0]?.content)[0]
  const tagged = elements(toBeSigned?.content).find(({ tag }) => tag === EXTENSIONS)
  return elements(elements(tagged?.content)[0]?.content).map(({ content }) => readExtension(elements(content)))
}

function readExtension(parts: readonly Element[]): Extension {
  const contentOf = (wanted: number): Buffer | undefined => parts.find(({ tag }) => tag === wanted)?.content
  return {
    id: formatObjectIdentifier(contentOf(OBJECT_IDENTIFIER) ?? Buffer.alloc(0)),
    isCritical: contentOf(BOOLEAN)?.[0] === 0xff,
    value: contentOf(OCTET_STRING) ?? Buffer.alloc(0),
  }
}

/** The elements that stand one behind another in `bytes`. */
export function elements(bytes: Buffer = Buffer.alloc(0)): readonly Element[] {
  const found: Element[] = []
  let at = 0
  while (at + 2 <= bytes.length) {
    const [length, start] = readLength(bytes, at + 1)
    found.push({ tag: bytes[at] ?? 0, content: bytes.subarray(start, start + length) })
    at = start + length
  }
  return found
}

/** The length that stands at `at`, and where the content begins. */
function readLength(bytes: Buffer, at: number): readonly [length: number, start: number] {
  const first = bytes[at] ?? 0
  if (first < 0x80) return [first, at + 1]
  const count = Math.min(first & 0x7f, 6, bytes.length - at - 1)
  return [count === 0 ? 0 : bytes.readUIntBE(at + 1, count), at + 1 + count]
}

function formatObjectIdentifier(bytes: Buffer): string {
  const numbers: number[] = []
  let value = 0
  for (const byte of bytes) {
    value = value * 128 + (byte & 0x7f)
    if (byte < 0x80) {
      numbers.push(value)
      value = 0
    }
  }
  const [first = 0, ...rest] = numbers
  const arc = Math.min(Math.floor(first / 40), 2)
  return [arc, first - arc * 40, ...rest].join('.')
}
