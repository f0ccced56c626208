// One value that a secret has had. It goes into requests as a text, and finds itself in what an origin sends back.
//
// A source keeps the same object while its value is the same: by that it is known whether there is a newer one. What is
// derived of a value (its spellings) lives with it, so that nothing of an old one outlives the requests that it went into.

import type { Span, Taint } from '../../policy/transform.js'
import { Spellings } from '../spellings/spellings.js'
import { Secret } from './secret.js'
import { partsOfSecret } from './secret-parts.js'

export class SecretValue extends Secret implements Taint {
  #spellings: Spellings | undefined

  constructor(text: string) {
    super(text)
  }

  spansIn(text: string): readonly Span[] {
    this.#spellings ??= new Spellings(partsOfSecret(this.reveal()))
    return this.#spellings.search(text).spans
  }

  /** The value of a source that has `text` now. */
  renewed(text: string): SecretValue {
    return text === this.reveal() ? this : new SecretValue(text)
  }
}
