// Does what a matched rule does to a request's header: computed for each request, and once more after the origin refused
// what it was given.

import type { Rule } from '../policy/rule.js'
import type { OutgoingHead, Taint } from '../policy/transform.js'

/** Header fields after a rule. */
export interface RuledFields {
  readonly fields: readonly string[]
  /** Names of the fields that the rule has put there, lower case. */
  readonly injected: readonly string[]
  /** What went out, for the redaction of what the origin sends back: these values, whatever their sources have by then. */
  readonly secrets: readonly Taint[]
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
    fields: fields.flatMap((field) => field.slice(0, 2) as string[]),
    injected: [...new Set(injected.map(([name]) => name.toLowerCase()))],
    secrets: [...new Set(injected.flatMap(([, , secrets = []]) => secrets))],
  }
}

/**
 * After a 401 to `used`: fetches its secrets anew, and gives what to ask once more with, or undefined when there is nothing
 * newer. It may be left alone by a request that cannot be sent again: the next one has the new secret then. A request that
 * comes while the secret is being renewed waits for the same renewal; one that comes later finds it renewed. Never rejects.
 */
export async function applyRuleAfter401(
  head: OutgoingHead,
  rule: Rule | undefined,
  used: RuledFields,
): Promise<RuledFields | undefined> {
  if (rule === undefined || used.secrets.length === 0) return undefined
  const isUsed = ({ secrets }: RuledFields) => secrets.every((secret) => used.secrets.includes(secret))
  try {
    if (isUsed(await applyRule(head, rule))) await Promise.all(rule.transforms.map((transform) => transform.refresh()))
    const now = await applyRule(head, rule)
    // The answer to the first try may still be passed on, and an origin may remember what it was sent before.
    return isUsed(now) ? undefined : { ...now, secrets: [...new Set([...used.secrets, ...now.secrets])] }
  } catch {
    return undefined // A secret that cannot be had now is reported by its source; the 401 is the answer.
  }
}
