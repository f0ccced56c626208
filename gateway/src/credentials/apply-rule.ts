// What a matched rule puts into a request's header: computed for each request, and once more after the origin refused what
// it was given. Pure, but that secrets are read and renewed.
//
// Rules:
// - The client's own copies of a field that is set are removed, `_` read as `-` because CGI-like origins do.
// - A placeholder is also found inside `Authorization: Basic`, where git and curl put what they take for a password.

import { fieldPairs, looseName, type RawFields } from '../fields.js'
import type { Rule, RuledHost } from '../intercept/inject.js'
import { Refusal } from '../refusal.js'
import type { Secret } from './secrets/secret.js'
import type { SecretSource } from './secrets/secret-source.js'

/** One step of a rule. Names are as the config spells them. */
export type Transform =
  | { readonly kind: 'set' | 'replace'; readonly name: string; readonly value: Secret }
  | { readonly kind: 'remove'; readonly name: string }
  | { readonly kind: 'placeholder'; readonly text: string; readonly value: Secret }

/** All steps of a rule, and the sources that their secrets come from. */
export interface Transforms {
  readonly steps: readonly Transform[]
  readonly sources: readonly SecretSource[]
}

/** Header fields after a rule. */
export interface RuledFields {
  readonly fields: readonly string[]
  /** Names of the fields that a secret went into, lower case. */
  readonly injected: readonly string[]
  /** Their values, for the redaction of what the origin sends back. */
  readonly secrets: readonly string[]
}

/** Does what `rule` does to a request's fields, step by step, with the secrets of now. */
export function applyRule(fields: RawFields, rule: Rule | undefined): RuledFields {
  const original: readonly Field[] = [...fieldPairs(fields)]
  const ruled = (rule?.transforms.steps ?? []).reduce((current, step) => applyStep(step, current), original)
  const injected = ruled.filter((field) => !original.includes(field))
  return {
    fields: ruled.flat(),
    injected: [...new Set(injected.map(([name]) => name.toLowerCase()))],
    secrets: injected.map(([, value]) => value),
  }
}

type Field = readonly [name: string, value: string]

/** Fields that stay as they are are the same objects afterwards. */
function applyStep(step: Transform, fields: readonly Field[]): readonly Field[] {
  if (step.kind === 'placeholder') {
    return fields.map((field) => {
      if (!holds(field[1], step.text)) return field
      return [field[0], fillIn(step.text, step.value.reveal(), field[1])]
    })
  }
  const others = fields.filter(([name]) => looseName(name) !== looseName(step.name))
  if (step.kind === 'remove') return others
  if (step.kind === 'replace' && others.length === fields.length) return fields
  return [...others, [step.name, step.value.reveal()]]
}

/**
 * After a 401 to `used`: what to ask once more with, or undefined when there is nothing newer. Whoever comes while the
 * secret is being renewed waits for that; whoever comes later finds it renewed.
 */
export async function applyRuleAfter401(
  fields: RawFields,
  rule: Rule | undefined,
  used: RuledFields,
): Promise<RuledFields | undefined> {
  const isUsed = ({ secrets }: RuledFields) => secrets.every((secret, at) => secret === used.secrets[at])
  if (isUsed(applyRule(fields, rule))) {
    await Promise.all(rule?.transforms.sources.map((source) => source.refresh()) ?? [])
  }
  const now = applyRule(fields, rule)
  return isUsed(now) ? undefined : now
}

/**
 * A placeholder that the rule does not fill in is for another request: not even its text leaves for the origin.
 * @throws {Refusal}
 */
export function assertPlaceholders(fields: RawFields, rule: Rule | undefined, host: RuledHost): void {
  const placeholders = placeholdersOf(host)
  if (placeholders.length === 0) return
  for (const [, value] of fieldPairs(applyRule(fields, rule).fields)) {
    if (!placeholders.some((text) => holds(value, text))) continue
    throw new Refusal('placeholder-unmatched', 'a field holds a placeholder that no rule for this request fills in')
  }
}

function placeholdersOf({ rules }: RuledHost): string[] {
  const steps = rules.flatMap(({ transforms }) => transforms.steps)
  return steps.flatMap((step) => (step.kind === 'placeholder' ? [step.text] : []))
}

function holds(value: string, placeholder: string): boolean {
  return fillIn(placeholder, '', value) !== value
}

function fillIn(placeholder: string, secret: string, value: string): string {
  const [, scheme = '', encoded = ''] = /^(basic +)([A-Za-z0-9+/]+={0,2})$/i.exec(value) ?? []
  if (encoded === '') return value.replaceAll(placeholder, () => secret)
  const decoded = Buffer.from(encoded, 'base64').toString('latin1')
  if (!decoded.includes(placeholder)) return value
  return (
    scheme +
    Buffer.from(
      decoded.replaceAll(placeholder, () => secret),
      'latin1',
    ).toString('base64')
  )
}
