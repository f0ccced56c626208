// The part of the config that says what sessions may do: policies, their hosts, rules, and what a rule does to headers.

import { removeField } from '../credentials/field-transform.js'
import type { FieldPlace, FillTemplate } from '../credentials/scheme.js'
import { placeholder } from '../credentials/schemes/placeholder.js'
import type { SecretStore } from '../credentials/secrets/secret-store.js'
import { looseName } from '../fields.js'
import { canonicalHostPattern } from '../policy/host-pattern.js'
import { DEFAULT_SESSION_LIMITS, extendPolicy, type Policy, type SessionLimits } from '../policy/policy.js'
import type { HostRules, Rule } from '../policy/rule.js'
import type { Transform } from '../policy/transform.js'
import type { ConfigPath, ConfigProblems } from './config-problem.js'
import type { ConfigFile } from './config-schema.js'

type PolicyFile = ConfigFile['policies'][string]
type RuleFile = ConfigFile['hosts'][string][number]
type StepFile = RuleFile['transform'][number]

/** The policies of a config. */
export interface Policies {
  /** The top level. */
  readonly base: Policy
  readonly named: ReadonlyMap<string, Policy>
}

/** Makes the policies of `file`; what is wrong goes to `problems`. */
export function resolvePolicies(file: ConfigFile, secrets: SecretStore, problems: ConfigProblems): Policies {
  const resolver = new PolicyResolver(secrets, problems)
  const base: Policy = {
    ...resolver.resolve([], file),
    default: file.default,
    limits: { ...DEFAULT_SESSION_LIMITS, ...definedLimits(file.limits) },
  }
  const named = Object.entries(file.policies).map(([name, policy]): [string, Policy] => {
    const addition = resolver.resolve(['policies', name], policy)
    const { default: verdict, limits } = policy
    return [
      name,
      extendPolicy(base, { ...addition, ...(verdict && { default: verdict }), limits: definedLimits(limits) }),
    ]
  })
  return { base, named: new Map(named) }
}

function definedLimits(limits: ConfigFile['limits']): Partial<SessionLimits> {
  return Object.fromEntries(Object.entries(limits).filter(([, count]) => count !== undefined))
}

class PolicyResolver {
  readonly #secrets: SecretStore
  readonly #problems: ConfigProblems

  constructor(secrets: SecretStore, problems: ConfigProblems) {
    this.#secrets = secrets
    this.#problems = problems
  }

  resolve(path: ConfigPath, file: Pick<PolicyFile, 'allow' | 'deny' | 'pinned' | 'hosts'>) {
    return {
      allow: canonicalPatterns(file.allow),
      deny: canonicalPatterns(file.deny),
      pinned: canonicalPatterns(file.pinned),
      hosts: this.#hosts([...path, 'hosts'], file.hosts),
    }
  }

  #hosts(path: ConfigPath, hosts: ConfigFile['hosts']): HostRules {
    const byPattern = new Map<string, readonly Rule[]>()
    for (const [host, rules] of Object.entries(hosts)) {
      const pattern = canonicalHostPattern(host) as string
      if (byPattern.has(pattern)) this.#problems.report([...path, host], 'is here twice, in two spellings')
      byPattern.set(
        pattern,
        rules.map((rule, index) => this.#rule([...path, host, index], rule)),
      )
    }
    return byPattern
  }

  #rule(path: ConfigPath, { match, transform }: RuleFile): Rule {
    const at = [...path, 'transform']
    const transforms = transform.flatMap((step, index) => this.#step([...at, index], step))
    this.#assertSetOnce(at, transform)
    const { path: prefix, method, scheme } = match
    return {
      match: { ...(prefix && { path: prefix }), ...(method && { method }), ...(scheme && { scheme }) },
      transforms,
    }
  }

  #step(path: ConfigPath, file: StepFile): Transform[] {
    const filled = Object.entries(file.placeholders).flatMap(([text, template]) => {
      return this.#transform([...path, 'placeholders', text], (fill) => {
        return placeholder.create(template, { placeholder: text }, fill)
      })
    })
    const put = (key: 'replace' | 'headers', kind: FieldPlace['kind']) =>
      Object.entries(file[key]).flatMap(([name, create]) => {
        return this.#transform([...path, key, name], (fill) => create({ kind, name }, fill))
      })
    return [...filled, ...file.remove.map(removeField), ...put('replace', 'replace'), ...put('headers', 'set')]
  }

  /** None where a secret cannot be had, which is a problem at `path`. */
  #transform(path: ConfigPath, create: (fill: FillTemplate) => Transform): Transform[] {
    const transform = this.#problems.attempt(path, () => create((template) => this.#secrets.fill(template)))
    return transform === undefined ? [] : [transform]
  }

  #assertSetOnce(path: ConfigPath, transform: readonly StepFile[]): void {
    const seen = new Set<string>()
    for (const [index, step] of transform.entries()) {
      for (const key of ['headers', 'replace'] as const) {
        for (const name of Object.keys(step[key])) {
          if (seen.has(looseName(name))) this.#problems.report([...path, index, key, name], 'is set twice by this rule')
          seen.add(looseName(name))
        }
      }
    }
  }
}

function canonicalPatterns(patterns: readonly string[]): string[] {
  return patterns.map((pattern) => canonicalHostPattern(pattern) as string)
}
