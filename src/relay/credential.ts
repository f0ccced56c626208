// How the session token gets onto the wire: as the Bearer of the upgrade request and the Basic of the CONNECT head. It is
// turned into text here, for the moment in which a tunnel is dialled, and nowhere else in the relay.

import { asUpstreamProxyError, UpstreamProxyError } from '../errors.js'

/** Something that holds the session token and lends it out for the length of one call. */
export interface TokenSource {
  /**
   * What it throws refuses the CONNECT that needs the token, with `token-unavailable`.
   * @param use gets the token's bytes, visible ASCII, which are only valid until it returns
   */
  withToken<T>(use: (token: Buffer) => T): T
  /** Changes whenever the token does. Without it the token stays the same. */
  readonly generation?: () => number
}

/** Who the relay is to the gateway. */
export class Credential {
  readonly #tokens: TokenSource
  readonly #sessionId: string

  /** @throws {UpstreamProxyError} `config-invalid` when the session id cannot be a user name (RFC 7617, section 2) */
  constructor(tokens: TokenSource, sessionId: string) {
    if (!/^[\x21-\x39\x3b-\x7e]{1,256}$/.test(sessionId)) {
      throw new UpstreamProxyError(
        'config-invalid',
        'the session id is not 1 to 256 visible ASCII characters without a colon',
      )
    }
    this.#tokens = tokens
    this.#sessionId = sessionId
  }

  /** Changes whenever the token does. */
  generation(): number {
    return this.#tokens.generation?.() ?? 0
  }

  /**
   * Headers of the upgrade request (RFC 6750, section 2.1).
   * @throws {UpstreamProxyError} `token-unavailable`
   */
  upgradeHeaders(): Record<string, string> {
    return {
      Authorization: this.#withToken((token) => `Bearer ${visibleAscii(token)}`),
      // Without it gateways in service end the connection with a bare EOF.
      'Content-Type': 'application/proto',
    }
  }

  /**
   * The value of Proxy-Authorization in the CONNECT head (RFC 7617).
   * @throws {UpstreamProxyError} `token-unavailable`
   */
  basic(): Uint8Array {
    return this.#withToken((token) => {
      const pair = Buffer.concat([Buffer.from(`${this.#sessionId}:`), token])
      const value = Buffer.from(`Basic ${pair.toString('base64')}`)
      pair.fill(0)
      return value
    })
  }

  #withToken<T>(use: (token: Buffer) => T): T {
    try {
      return this.#tokens.withToken(use)
    } catch (error) {
      throw asUpstreamProxyError(error, 'token-unavailable', 'the source of the session token failed')
    }
  }
}

/** A byte that is none could end the header, and errors of the runtimes quote it. */
function visibleAscii(token: Buffer): string {
  const text = token.toString('latin1')
  if (/^[\x21-\x7e]+$/.test(text)) return text
  throw new UpstreamProxyError(
    'token-unavailable',
    'the session token that was lent is not visible ASCII without spaces',
  )
}

/** A token source over a token that the program has as text. */
export function tokenFromText(text: string): TokenSource {
  if (!/^[\x21-\x7e]+$/.test(text)) {
    throw new UpstreamProxyError('config-invalid', 'the token is not visible ASCII without spaces')
  }
  const token = Buffer.from(text, 'latin1')
  return { withToken: (use) => use(token) }
}
