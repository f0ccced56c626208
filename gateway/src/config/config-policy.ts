// The part of the config that says what sessions may do: policies, their hosts, rules, and what a rule does to headers.

import type { Transform } from '../credentials/apply-rule.js'
import { Secret } from '../credentials/secrets/secret.js'
import { CommandSecret, isHeaderText } from '../credentials/secrets/secret-source.js'
import type { FilledTemplate, SecretStore } from '../credentials/secrets/secret-store.js'
import { looseName } from '../fields.js'
import type { HostRules, Rule } from '../intercept/inject.js'
import { extendPolicy, type Policy } from '../policy/policy.js'
import type { ConfigPath, ConfigProblems } from './config-problem.js'
import { type ConfigFile, canonicalHostPattern } from './config-schema.js'

type PolicyFile = ConfigFile['policies'][string]
type RuleFile = ConfigFile['hosts'][string][number]
type StepFile = RuleFile['transform'][number]
type HeaderValueFile = StepFile['headers'][string]

/** The policies of a config. */
export interface Policies {
  /** The top level. */
  readonly base: Policy
  readonly named: ReadonlyMap<string, Policy>
}

/** Makes the policies of `file`; what is wrong goes to `problems`. */
export function resolvePolicies(file: ConfigFile, secrets: SecretStore, problems: ConfigProblems): Policies {
  const resolver = new PolicyResolver(secrets, problems)
  const { tunnels, requestsPerMinute } = file.limits
  const base: Policy = {
    ...resolver.resolve([], file),
    default: file.default,
    limits: { tunnels, requestsPerMinute },
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

function definedLimits({ tunnels, requestsPerMinute }: ConfigFile['limits']): Partial<Policy['limits']> {
  return { ...(tunnels && { tunnels }), ...(requestsPerMinute && { requestsPerMinute }) }
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
    const filled = transform.flatMap((step, index) => this.#steps([...at, index], step))
    this.#assertSetOnce(at, transform)
    const { path: prefix, method, scheme } = match
    return {
      match: { ...(prefix && { path: prefix }), ...(method && { method }), ...(scheme && { scheme }) },
      transforms: {
        steps: filled.map(({ step }) => step),
        sources: [...new Set(filled.flatMap(({ sources }) => sources))],
      },
    }
  }

  #steps(path: ConfigPath, file: StepFile): { step: Transform; sources: FilledTemplate['sources'] }[] {
    const placeholders = Object.entries(file.placeholders).map(([placeholder, template]) => {
      const { value, sources } = this.#headerValue([...path, 'placeholders', placeholder], template)
      return { step: { kind: 'placeholder', text: placeholder, value } as const, sources }
    })
    const removed = file.remove.map((name) => ({ step: { kind: 'remove', name } as const, sources: [] }))
    const named = (key: 'headers' | 'replace') =>
      Object.entries(file[key]).map(([name, template]) => {
        const { value, sources } = this.#headerValue([...path, key, name], template)
        return { step: { kind: key === 'headers' ? 'set' : 'replace', name, value } as const, sources }
      })
    return [...placeholders, ...removed, ...named('replace'), ...named('headers')]
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

  #headerValue(path: ConfigPath, file: HeaderValueFile): FilledTemplate {
    const filled = this.#problems.attempt(path, () => this.#fill(file)) ?? { value: new Secret('x'), sources: [] }
    // A command's value is not there yet; it is checked when the command has run.
    const isThere = filled.sources.every((source) => !isPending(source))
    if (isThere && !isHeaderText(filled.value.reveal())) {
      const rule = 'visible ASCII in one line, no blanks around it'
      this.#problems.report(path, `gives a value that no header may have: ${rule}`)
    }
    return filled
  }

  #fill(file: HeaderValueFile): FilledTemplate {
    if (typeof file === 'string') return this.#secrets.fill(file)
    if ('raw' in file) return this.#secrets.fill(file.raw)
    if ('bearer' in file) return this.#secrets.fill(`Bearer ${file.bearer}`)
    const user = this.#secrets.fill(file.basic.user)
    const password = this.#secrets.fill(file.basic.password)
    return {
      value: new Secret(() => basicCredential(user.value.reveal(), password.value.reveal())),
      sources: [...user.sources, ...password.sources],
    }
  }
}

function isPending(source: FilledTemplate['sources'][number]): boolean {
  return source instanceof CommandSecret && !source.isReady
}

/** RFC 7617, section 2. */
export function basicCredential(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
}

function canonicalPatterns(patterns: readonly string[]): string[] {
  return patterns.map((pattern) => canonicalHostPattern(pattern) as string)
}
