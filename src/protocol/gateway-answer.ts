// The gateway's answer to the CONNECT head: only its status line is looked at, to tell a tunnel that opens from one
// that is refused. Every byte goes to the client as it came. No I/O.
//
// Rules: the first bytes are `HTTP/1.0 ` or `HTTP/1.1 `, three digits, and a space or the end of the line (RFC 9112,
// section 4; some leave the space out). 200 opens the tunnel;
// any other status is the gateway's refusal; anything else is no HTTP.

export type AnswerVerdict =
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'status'; readonly status: number; readonly bytes: Uint8Array }
  | { readonly kind: 'not-http' }

const STATUS_LINE_PREFIX = /^HTTP\/1\.[01] ([1-9][0-9]{2})[ \r]$/
const PREFIX_LENGTH = 'HTTP/1.1 200 '.length

/** Collects the first thirteen bytes of the answer, which is all that the verdict needs. */
export class GatewayAnswerParser {
  #bytes = new Uint8Array(0)

  /** Takes the next bytes. With `status`, `bytes` is everything so far: it belongs to the client. */
  push(next: Uint8Array): AnswerVerdict {
    const bytes = new Uint8Array(this.#bytes.length + next.length)
    bytes.set(this.#bytes)
    bytes.set(next, this.#bytes.length)
    this.#bytes = bytes
    const prefix = String.fromCharCode(...bytes.subarray(0, PREFIX_LENGTH))
    if (bytes.length < PREFIX_LENGTH) return couldBeHttp(prefix) ? { kind: 'incomplete' } : { kind: 'not-http' }
    const match = STATUS_LINE_PREFIX.exec(prefix)
    return match === null ? { kind: 'not-http' } : { kind: 'status', status: Number(match[1]), bytes }
  }
}

function couldBeHttp(prefix: string): boolean {
  return STATUS_LINE_PREFIX.test(prefix + 'HTTP/1.1 200 '.slice(prefix.length))
}
