// Where the values of a matched rule come from. The one seam between forwarding and secrets: forward.ts asks here for
// each request, and once more after the origin refused what it was given.

import type { Rule } from './inject.js'
import type { Secret } from './secret.js'

/** A header to set. */
export interface InjectedHeader {
  /** As the config spells it. */
  readonly name: string
  readonly value: Secret
}

/** The headers that `rule` sets now. */
export async function headersOf(rule: Rule | undefined): Promise<readonly InjectedHeader[]> {
  return rule?.headers ?? []
}

/** After a 401 to `used`: other headers to ask once more with, or undefined when there are none. */
export async function headersAfter401(
  _rule: Rule | undefined,
  _used: readonly InjectedHeader[],
): Promise<readonly InjectedHeader[] | undefined> {
  return undefined
}
