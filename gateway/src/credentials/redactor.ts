// Takes injected values out of what an origin sends back in heads and trailers: as they are, percent-encoded, in
// Base64. Bodies are not looked at: they come compressed, in pieces and in any encoding, and a promise about them
// could not be kept.

import { fieldPairs, type RawFields } from '../fields.js'

const REPLACEMENT = '[redacted]'
/** Shorter texts are no credential, and would be found everywhere. */
const MIN_SECRET_LENGTH = 6

/** Finds the values that went into one request. */
export class Redactor {
  readonly #pattern: RegExp | undefined

  constructor(values: readonly string[]) {
    const secrets = new Set(values.flatMap(secretsIn))
    const alternatives = [...secrets].sort((a, b) => b.length - a.length).flatMap(spellingsOf)
    this.#pattern = alternatives.length === 0 ? undefined : new RegExp(alternatives.join('|'), 'g')
  }

  text(value: string): string {
    return this.#pattern === undefined ? value : value.replace(this.#pattern, REPLACEMENT)
  }

  fields(fields: RawFields): string[] {
    return [...fieldPairs(fields)].flatMap(([name, value]) => [name, this.text(value)])
  }
}

/** The parts of a header value that are worth hiding: all of it, what follows the scheme, what Basic encodes. */
function secretsIn(value: string): string[] {
  const parts = [value]
  const [, scheme, credential] = /^([A-Za-z]+) +(.+)$/.exec(value) ?? []
  if (credential !== undefined) parts.push(credential)
  if (scheme?.toLowerCase() === 'basic') {
    const userAndPassword = Buffer.from(credential as string, 'base64').toString('latin1')
    parts.push(userAndPassword, userAndPassword.slice(userAndPassword.indexOf(':') + 1))
  }
  return parts.filter((part) => part.length >= MIN_SECRET_LENGTH)
}

function spellingsOf(secret: string): string[] {
  return [percentPattern(secret), ...base64Patterns(secret)]
}

/** Each character as it is or percent-encoded: encoders differ in what they leave alone. */
function percentPattern(secret: string): string {
  const characters = Array.from(Buffer.from(secret, 'latin1'), (byte) => {
    const hex = byte.toString(16).padStart(2, '0')
    const digits = hex.replace(/[a-f]/g, (digit) => `[${digit}${digit.toUpperCase()}]`)
    const spellings = [escapePattern(String.fromCharCode(byte)), `%${digits}`]
    if (byte === 0x20) spellings.push('\\+')
    return `(?:${spellings.join('|')})`
  })
  return characters.join('')
}

/** The secret inside a longer text: at each of the three alignments, without the digits that its neighbours share. */
function base64Patterns(secret: string): string[] {
  return [0, 1, 2].map((shift) => {
    const encoded = Buffer.concat([Buffer.alloc(shift), Buffer.from(secret, 'latin1')]).toString('base64')
    const bits = (shift + secret.length) * 8
    const own = encoded.slice(Math.ceil((shift * 8) / 6), Math.floor(bits / 6))
    return escapePattern(own)
      .replace(/\\\+|-/g, '[+-]')
      .replace(/\\\/|\//g, '[/_]')
  })
}

function escapePattern(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&')
}
