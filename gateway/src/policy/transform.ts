// What a rule does to the header of a request, as a rule carries it. Only the shape: what there is to do, and the secrets
// that it takes, are in credentials/.

import type { Authority } from 'ccr-upstream-proxy/protocol'

/** One header field, and the secrets in its value where a rule has put some there. */
export type Field = readonly [name: string, value: string, secrets?: readonly Taint[]]

/** A value that goes out and is not to come back: it finds itself in what an origin sends. */
export interface Taint {
  /** Where it stands in `text`, in whichever spelling. */
  spansIn(text: string): readonly Span[]
}

/** A part of a text, without the character at `end`. */
export type Span = readonly [start: number, end: number]

/** What of a request goes on to the origin, between two transforms. */
export interface OutgoingHead {
  readonly method: string
  /** Origin-form: path and query. */
  readonly target: string
  /** The host of the tunnel. */
  readonly authority: Authority
  /** End-to-end fields, without Host and framing, which are the protocol's. */
  readonly fields: readonly Field[]
}

/** One step of a rule. */
export interface Transform {
  /** Stands in for a secret in what the client sends; where no rule fills it in, the request is refused. */
  readonly placeholder?: string
  /**
   * The fields after it, with the secrets of now. A field that is left as it was is the same object afterwards: by that
   * it is known what was put in. A promise only where something has to be fetched first.
   */
  apply(head: OutgoingHead): readonly Field[] | Promise<readonly Field[]>
  /** What it leaves of the client's own fields, with nothing put in their place. Reads no secret. */
  strip(fields: readonly Field[]): readonly Field[]
  /** Fetches its secrets anew if that may help, for the origin answered 401. Never rejects. */
  refresh(): Promise<void>
}
