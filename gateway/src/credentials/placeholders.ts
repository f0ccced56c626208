// Texts that stand in for a secret in what a client sends: how they are found and filled in, and that none leaves which no
// rule fills in. Pure.
//
// A placeholder is also found inside `Authorization: Basic`, where git and curl put what they take for a password.

import type { Rule, RuledHost } from '../policy/rule.js'
import type { Field } from '../policy/transform.js'
import { Refusal } from '../refusal.js'

/**
 * A placeholder that the rule does not fill in is for another request: not even its text leaves for the origin.
 * @throws {Refusal}
 */
export function assertPlaceholders(fields: readonly Field[], rule: Rule | undefined, { rules }: RuledHost): void {
  const placeholders = rules.flatMap(({ transforms }) => transforms.flatMap(({ placeholder }) => placeholder ?? []))
  if (placeholders.length === 0) return
  const left = (rule?.transforms ?? []).reduce((current, transform) => transform.strip(current), fields)
  for (const [, value] of left) {
    if (!placeholders.some((placeholder) => holdsPlaceholder(value, placeholder))) continue
    throw new Refusal('placeholder-unmatched', 'a field holds a placeholder that no rule for this request fills in')
  }
}

export function holdsPlaceholder(value: string, placeholder: string): boolean {
  return fillPlaceholder(value, placeholder, '') !== value
}

/** `value` with `secret` wherever it has the placeholder. */
export function fillPlaceholder(value: string, placeholder: string, secret: string): string {
  const [, scheme = '', encoded = ''] = /^(basic +)([A-Za-z0-9+/]+={0,2})$/i.exec(value) ?? []
  if (encoded === '') return value.replaceAll(placeholder, () => secret)
  const decoded = Buffer.from(encoded, 'base64').toString('latin1')
  if (!decoded.includes(placeholder)) return value
  const filled = decoded.replaceAll(placeholder, () => secret)
  return scheme + Buffer.from(filled, 'latin1').toString('base64')
}
