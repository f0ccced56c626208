// What clients prove themselves with: the values of Authorization and Proxy-Authorization. Pure.

/** A user name and a password (RFC 7617), which may be any bytes. */
export interface BasicCredential {
  readonly user: Buffer
  readonly password: Buffer
}

/** The token of `Bearer token` (RFC 6750, section 2.1). */
export function parseBearer(value: string | undefined): string | undefined {
  return credentials(value, 'bearer')
}

/** What `Basic base64(user:password)` holds. */
export function parseBasic(value: string | undefined): BasicCredential | undefined {
  const encoded = credentials(value, 'basic')
  if (encoded === undefined || !/^[A-Za-z0-9+/]+={0,2}$/.test(encoded)) return undefined
  const decoded = Buffer.from(encoded, 'base64')
  const colon = decoded.indexOf(0x3a)
  return colon === -1 ? undefined : { user: decoded.subarray(0, colon), password: decoded.subarray(colon + 1) }
}

/** What follows the scheme, when it is this one; schemes are case-insensitive (RFC 9110, section 11.1). */
function credentials(value: string | undefined, scheme: string): string | undefined {
  const match = /^([A-Za-z]+) +([!-~]+)$/.exec(value ?? '')
  return match?.[1]?.toLowerCase() === scheme ? match[2] : undefined
}
