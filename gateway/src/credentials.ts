// What a matched rule puts into a request's header: computed for each request, and once more after the origin refused what
// it was given. Pure, but that secrets are read and renewed.
//
// Rules:
// - The client's own copies of a field that is set are removed, `_` read as `-` because CGI-like origins do.
// - A placeholder is also found inside `Authorization: Basic`, where git and curl put what they take for a password.

import { fieldPairs, looseName, type RawFields } from './fields.js'
import type { Rule, RuledHost } from './inject.js'
import { Refusal } from './refusal.js'
import type { Secret } from './secret.js'
import type { SecretSource } from './secret-source.js'

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

/** Does what `rule` does to a request's fields, with the secrets of now. */
export function applyRule(fields: RawFields, rule: Rule | undefined): RuledFields {
  const set = rule?.transforms.steps.flatMap((step) => fieldsSetBy(step, fields)) ?? []
  const gone = goneNames(rule, set)
  const kept = [...fieldPairs(fields)].filter(([name]) => !gone.has(looseName(name)))
  return {
    fields: [...kept, ...set].flat(),
    injected: [...new Set(set.map(([name]) => name.toLowerCase()))],
    secrets: set.map(([, value]) => value),
  }
}

type Field = readonly [name: string, value: string]

function fieldsSetBy(step: Transform, fields: RawFields): Field[] {
  switch (step.kind) {
    case 'remove':
      return []
    case 'placeholder':
      return filledIn(step.text, step.value.reveal(), fields)
    case 'replace':
      return has(fields, step.name) ? [[step.name, step.value.reveal()]] : []
    case 'set':
      return [[step.name, step.value.reveal()]]
  }
}

/** Every field of a name that has the placeholder in one of its values: set anew, all of them. */
function filledIn(placeholder: string, secret: string, fields: RawFields): Field[] {
  const names = new Set(fieldsWith(placeholder, fields))
  return [...fieldPairs(fields)]
    .filter(([name]) => names.has(looseName(name)))
    .map(([name, value]) => [name, fillIn(placeholder, secret, value)])
}

/** Names (loose) of the client's fields that `rule` takes away, those that it sets anew included. */
function goneNames(rule: Rule | undefined, set: readonly Field[]): ReadonlySet<string> {
  const removed = rule?.transforms.steps.flatMap((step) => (step.kind === 'remove' ? [step.name] : [])) ?? []
  return new Set([...set.map(([name]) => name), ...removed].map(looseName))
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
  const own = new Set(rule?.transforms.steps.flatMap((step) => (step.kind === 'placeholder' ? [step.text] : [])))
  const set = rule?.transforms.steps.flatMap((step) => fieldsSetBy(step, fields)) ?? []
  const gone = goneNames(rule, set)
  for (const text of placeholdersOf(host)) {
    if (own.has(text) || fieldsWith(text, fields).every((name) => gone.has(name))) continue
    throw new Refusal('placeholder-unmatched', 'a field holds a placeholder that no rule for this request fills in')
  }
}

function placeholdersOf({ rules }: RuledHost): string[] {
  const steps = rules.flatMap(({ transforms }) => transforms.steps)
  return steps.flatMap((step) => (step.kind === 'placeholder' ? [step.text] : []))
}

/** Names (loose) of the fields that have the placeholder in their value. */
function fieldsWith(placeholder: string, fields: RawFields): string[] {
  const found = [...fieldPairs(fields)].filter(([, value]) => fillIn(placeholder, '', value) !== value)
  return found.map(([name]) => looseName(name))
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

function has(fields: RawFields, name: string): boolean {
  return [...fieldPairs(fields)].some(([field]) => looseName(field) === looseName(name))
}
