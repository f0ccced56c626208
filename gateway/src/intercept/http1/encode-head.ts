// Heads of HTTP/1.1 messages as bytes, in the encoding in which they are read: one byte a character.

import { fieldPairs, type RawFields } from '../../fields.js'

/** An answer's head, the empty line included. */
export function encodeAnswerHead(status: number, reason: string, fields: RawFields): Buffer {
  return Buffer.from(`HTTP/1.1 ${status} ${reason}\r\n${encodeFields(fields)}\r\n`, 'latin1')
}

/** Field lines without the empty one. */
export function encodeFields(fields: RawFields): string {
  let lines = ''
  for (const [name, value] of fieldPairs(fields)) lines += `${name}: ${value}\r\n`
  return lines
}
