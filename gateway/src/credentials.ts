// What a matched rule does to a request's fields. The one seam between forwarding and secrets: forward.ts asks here for
// each request, and once more after the origin refused what it was given.

import { looseName, type RawFields } from './fields.js'
import type { Rule } from './inject.js'

/** Header fields after a rule. */
export interface RuledFields {
  readonly fields: readonly string[]
  /** Names of the fields that a secret went into, lower case. */
  readonly injected: readonly string[]
  /** Their values, for the redaction of what the origin sends back. */
  readonly secrets: readonly string[]
}

/** Sets what `rule` sets now; the client's own copies of it go, `_` read as `-` because CGI-like origins do. */
export async function applyRule(fields: RawFields, rule: Rule | undefined): Promise<RuledFields> {
  const headers = rule?.headers ?? []
  const replaced = new Set(headers.map(({ name }) => looseName(name)))
  const kept = fields.filter((_, at) => !replaced.has(looseName(fields[at - (at % 2)] as string)))
  const secrets = headers.map(({ value }) => value.reveal())
  return {
    fields: [...kept, ...headers.flatMap(({ name }, index) => [name, secrets[index] as string])],
    injected: headers.map(({ name }) => name.toLowerCase()),
    secrets,
  }
}

/** After a 401 to `used`: what to ask once more with, or undefined when there is nothing newer. */
export async function applyRuleAfter401(
  _fields: RawFields,
  _rule: Rule | undefined,
  _used: RuledFields,
): Promise<RuledFields | undefined> {
  return undefined
}
