// Which parts of a secret are secrets by themselves: an origin that was sent a whole field may return a part of it. Pure.
//
// Rules:
// - What follows an authentication scheme, and the user and password that Basic encodes, for secrets that are a whole field.
// - The parts between `;`, `,`, `&`, `=`, quotes and blanks (cookies, parameters), when they are long.
// - Of a JWS or JWE in its compact form (RFC 7515, section 7.1; RFC 7516, section 7.1) every part but the first. A token is
//   often split into two cookies, and without its signature, or tag, the rest is none. The first part is the header, which
//   is the same for all tokens of an issuer: an answer that sets another token must not lose it.
// - Other halves, prefixes and last digits are not known as secrets: no rule says where they begin.

/** Shorter texts are no credential, and would be found everywhere. */
const MIN_SECRET_LENGTH = 6
/** A part may be an ordinary word; 16 characters of a token are 64 bits in hex, 96 in Base64, and no word. */
const MIN_PART_LENGTH = 16
/** Each is one more text to look for in every answer. A field of so many credentials is not known. */
const MAX_PIECES = 32

/** `secret` and its parts, as far as they are long enough to be looked for. */
export function partsOfSecret(secret: string): string[] {
  const pieces = secret
    .split(/[\t ,;&="]+/)
    .filter(isLong)
    .slice(0, MAX_PIECES)
  const parts = [secret, ...credentialOf(secret), ...pieces, ...pieces.flatMap(joseParts)]
  return [...new Set(parts)].filter(({ length }) => length >= MIN_SECRET_LENGTH)
}

const isLong = ({ length }: string): boolean => length >= MIN_PART_LENGTH

/** RFC 9110, section 11.4; RFC 7617, section 2. */
function credentialOf(secret: string): string[] {
  const [, scheme, credential] = /^([A-Za-z]+) +(.+)$/.exec(secret) ?? []
  if (scheme === undefined || credential === undefined) return []
  if (scheme.toLowerCase() !== 'basic') return [credential]
  const userAndPassword = Buffer.from(credential, 'base64').toString('latin1')
  return [credential, userAndPassword, userAndPassword.slice(userAndPassword.indexOf(':') + 1)]
}

/** A header in JSON begins with `{"`, which is `eyJ` in Base64. */
function joseParts(piece: string): string[] {
  return piece.startsWith('eyJ') ? piece.split('.').slice(1).filter(isLong) : []
}
