// Does what a matched rule does to a request's header: computed for each request, and once more after the origin refused
// what it was given.

import type { Rule } from '../policy/rule.js'
import type { OutgoingHead } from '../policy/transform.js'

/** Header fields after a rule. */
export interface RuledFields {
  readonly fields: readonly string[]
  /** Names of the fields that a secret went into, lower case. */
  readonly injected: readonly string[]
  /** Their values, for the redaction of what the origin sends back. */
  readonly secrets: readonly string[]
}

/** Applies `rule`, transform by transform, with the secrets of now. */
export async function applyRule(head: OutgoingHead, rule: Rule | undefined): Promise<RuledFields> {
  let fields = head.fields
  for (const transform of rule?.transforms ?? []) {
    const applied = transform.apply({ ...head, fields })
    // An await for each would let a request without a rule overtake an earlier one with several.
    fields = applied instanceof Promise ? await applied : applied
  }
  const injected = fields.filter((field) => !head.fields.includes(field))
  return {
    fields: fields.flat(),
    injected: [...new Set(injected.map(([name]) => name.toLowerCase()))],
    secrets: injected.map(([, value]) => value),
  }
}

/**
 * After a 401 to `used`: what to ask once more with, or undefined when there is nothing newer. A request that comes while
 * the secret is being renewed waits for that; one that comes later finds it renewed.
 */
export async function applyRuleAfter401(
  head: OutgoingHead,
  rule: Rule | undefined,
  used: RuledFields,
): Promise<RuledFields | undefined> {
  const isUsed = ({ secrets }: RuledFields) => secrets.every((secret, at) => secret === used.secrets[at])
  if (isUsed(await applyRule(head, rule))) {
    await Promise.all((rule?.transforms ?? []).map((transform) => transform.refresh()))
  }
  const now = await applyRule(head, rule)
  return isUsed(now) ? undefined : now
}
