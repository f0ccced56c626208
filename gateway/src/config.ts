// Reads the config file and everything that it names: certificates, secrets, tokens. The result is complete and checked;
// after this nothing about the configuration can fail but the network.

import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { type Authority, formatAuthority, parseAuthority } from 'ccr-upstream-proxy/protocol'
import { LineCounter, parseDocument } from 'yaml'
import type { z } from 'zod'
import type { AuditTarget } from './audit.js'
import { type ConfigPath, type ConfigProblem, GatewayConfigError, lineOf } from './config-problem.js'
import { type ConfigFile, canonicalHostPattern, configSchema, type ListenAddress } from './config-schema.js'
import type { HostRules, Rule } from './inject.js'
import { fillTemplate, fromEnvironment, readSecretFile, Secret, type SecretSources, TemplateError } from './secret.js'
import { hashToken, type SessionConfig } from './sessions.js'

/** A PEM certificate (chain) and its key. */
export interface CertificateConfig {
  readonly certificatePem: string
  readonly privateKeyPem: Secret
}

/** A config that is complete: defaults filled in, files read, secrets resolved. */
export interface GatewayConfig {
  /** What happens to hosts without a rule: `allow` splices them untouched, `deny` answers 403. */
  readonly default: 'allow' | 'deny'
  readonly listen: ListenAddress
  readonly paths: { readonly tunnel: string; readonly caCertificate: string; readonly health: string }
  /** The gateway's own TLS; undefined only on loopback. */
  readonly tls: CertificateConfig | undefined
  /** The interception CA. */
  readonly ca: CertificateConfig
  readonly sessions: readonly SessionConfig[]
  readonly audit: AuditTarget
  readonly upstream: UpstreamConfig
  readonly hosts: HostRules
}

/** Where the gateway may dial, and whom it trusts there. */
export interface UpstreamConfig {
  /** PEM certificates that are trusted besides the runtime's own roots. */
  readonly caPems: readonly string[]
  readonly allowAddresses: readonly string[]
  readonly allowPorts: readonly number[]
  /** `host:port` in canonical form → where to dial instead. */
  readonly connectTo: ReadonlyMap<string, Authority>
}

/** Where a config text comes from. */
export interface ConfigOrigin {
  /** Name of the file, for messages. */
  readonly file: string
  /** The environment that `${env:NAME}` and `tokenEnv` are looked up in. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** What relative paths are relative to. */
  readonly baseDir: string
}

/** All the public roots together are a quarter of this. */
const MAX_PEM_BYTES = 1_048_576

/**
 * Loads a config file.
 * @throws {GatewayConfigError} naming file, line and key of everything that is wrong
 */
export function loadGatewayConfig(file: string, env: ConfigOrigin['env']): GatewayConfig {
  let content: string
  try {
    content = readFileSync(file, 'utf8')
  } catch (error) {
    const { code = 'error' } = error as NodeJS.ErrnoException
    throw new GatewayConfigError(file, [{ path: [], line: 1, message: `the file cannot be read (${code})` }])
  }
  return parseGatewayConfig(content, { file, env, baseDir: dirname(resolve(file)) })
}

/**
 * Parses a config text, YAML or JSON, and reads the files that it names.
 * @throws {GatewayConfigError} naming file, line and key of everything that is wrong
 */
export function parseGatewayConfig(text: string, origin: ConfigOrigin): GatewayConfig {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const fail = (problems: readonly ConfigProblem[]): never => {
    throw new GatewayConfigError(
      origin.file,
      problems.map((problem) => ({ ...problem, line: lineOf(document, lines, problem.path) })),
    )
  }
  const [syntaxError] = document.errors
  if (syntaxError !== undefined) {
    // Only the code: the library's messages quote the text.
    const problem = { path: [], line: lines.linePos(syntaxError.pos[0]).line, message: yamlMessage(syntaxError.code) }
    throw new GatewayConfigError(origin.file, [problem])
  }
  const result = configSchema.safeParse(document.toJS() ?? {})
  if (!result.success)
    return fail(result.error.issues.flatMap((issue) => schemaProblems(issue, (path) => document.hasIn(path))))
  const resolver = new Resolver(origin)
  const config = resolver.resolve(result.data)
  return resolver.problems.length > 0 ? fail(resolver.problems) : config
}

function yamlMessage(code: string): string {
  return `is not valid YAML or JSON (${code.toLowerCase().replaceAll('_', ' ')})`
}

/** A key that is not known is reported at the key itself. */
function schemaProblems(issue: z.core.$ZodIssue, isPresent: (path: ConfigPath) => boolean): ConfigProblem[] {
  const path = issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part))
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: [...path, key], message: 'is not a known key' }))
  }
  if (issue.code === 'invalid_key') return [{ path, message: issue.issues[0]?.message ?? issue.message }]
  if (issue.code === 'invalid_type') return [{ path, message: isPresent(path) ? issue.message : 'is missing' }]
  return [{ path, message: issue.message }]
}

/** Reads what the config names; collects problems instead of stopping at the first. */
class Resolver {
  readonly problems: ConfigProblem[] = []
  readonly #sources: SecretSources

  constructor({ env, baseDir }: ConfigOrigin) {
    this.#sources = { env, resolvePath: (path) => resolve(baseDir, path) }
  }

  resolve(file: ConfigFile): GatewayConfig {
    if (file.tls === undefined && !isLoopback(file.listen.host)) {
      this.#report(['listen'], 'without tls the gateway listens on loopback only: the session token would be in clear')
    }
    return {
      default: file.default,
      listen: file.listen,
      paths: file.paths,
      tls: file.tls && this.#certificate(['tls'], file.tls),
      ca: this.#certificate(['ca'], file.ca),
      sessions: this.#sessions(file.sessions),
      audit: this.#audit(file.audit),
      upstream: this.#upstream(file.upstream),
      hosts: this.#hosts(file.hosts),
    }
  }

  #report(path: ConfigPath, message: string): void {
    this.problems.push({ path, message })
  }

  /** The value of `read`, or a problem at `path` and an empty text. */
  #attempt(path: ConfigPath, read: () => string): string {
    try {
      return read()
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error
      this.#report(path, error.message)
      return ''
    }
  }

  #readPem(path: ConfigPath, name: string): string {
    return this.#attempt(path, () => `${readSecretFile(this.#sources.resolvePath(name), MAX_PEM_BYTES)}\n`)
  }

  #certificate(path: ConfigPath, pair: { certificate: string; key: string }): CertificateConfig {
    return {
      certificatePem: this.#readPem([...path, 'certificate'], pair.certificate),
      privateKeyPem: new Secret(this.#readPem([...path, 'key'], pair.key)),
    }
  }

  #sessions(sessions: ConfigFile['sessions']): SessionConfig[] {
    const seen = new Set<string>()
    return sessions.map((session, index) => {
      const tokenSha256 = this.#tokenHash(['sessions', index], session)
      if (seen.has(tokenSha256)) this.#report(['sessions', index], 'has the token of another session')
      seen.add(tokenSha256)
      return { id: session.id, tokenSha256 }
    })
  }

  #tokenHash(path: ConfigPath, session: ConfigFile['sessions'][number]): string {
    const { tokenSha256, tokenFile, tokenEnv } = session
    if (tokenSha256 !== undefined) return tokenSha256
    const key = [...path, tokenFile === undefined ? 'tokenEnv' : 'tokenFile']
    const token = this.#attempt(key, () => {
      if (tokenFile !== undefined) return readSecretFile(this.#sources.resolvePath(tokenFile))
      return fromEnvironment(tokenEnv as string, this.#sources)
    })
    if (/[^!-~]/.test(token)) this.#report(key, 'must hold one token of visible ASCII characters')
    return hashToken(token)
  }

  #audit(audit: string): AuditTarget {
    return audit === 'stdout' || audit === 'stderr' ? audit : { file: this.#sources.resolvePath(audit) }
  }

  #upstream(upstream: ConfigFile['upstream']): UpstreamConfig {
    const connectTo = Object.entries(upstream.connectTo).map(([from, to]): [string, Authority] => {
      return [formatAuthority(parseAuthority(from) as Authority), parseAuthority(to) as Authority]
    })
    return {
      caPems: upstream.caFiles.map((name, index) => this.#caFile(['upstream', 'caFiles', index], name)),
      allowAddresses: upstream.allowAddresses,
      allowPorts: upstream.allowPorts,
      connectTo: new Map(connectTo),
    }
  }

  #caFile(path: ConfigPath, name: string): string {
    const certificates = this.#readPem(path, name)
    if (certificates !== '' && !certificates.includes('-----BEGIN CERTIFICATE-----')) {
      this.#report(path, 'must be a PEM file with certificates')
    }
    return certificates
  }

  #hosts(hosts: ConfigFile['hosts']): HostRules {
    const byPattern = new Map<string, readonly Rule[]>()
    for (const [host, rules] of Object.entries(hosts)) {
      const pattern = canonicalHostPattern(host) as string
      if (byPattern.has(pattern)) this.#report(['hosts', host], 'is here twice, in two spellings')
      byPattern.set(
        pattern,
        rules.map((rule, index) => this.#rule(['hosts', host, index], rule)),
      )
    }
    return byPattern
  }

  #rule(path: ConfigPath, { match, transform }: ConfigFile['hosts'][string][number]): Rule {
    const headers = transform.flatMap((step, index) => {
      const at = [...path, 'transform', index, 'headers']
      return Object.entries(step.headers).map(([name, template]) => {
        return { path: [...at, name], name, value: this.#headerValue([...at, name], template) }
      })
    })
    const seen = new Set<string>()
    for (const header of headers) {
      const field = header.name.toLowerCase().replaceAll('_', '-')
      if (seen.has(field)) this.#report(header.path, 'is set twice by this rule')
      seen.add(field)
    }
    return {
      match: { ...(match.path && { path: match.path }), ...(match.method && { method: match.method }) },
      headers: headers.map(({ name, value }) => ({ name, value })),
    }
  }

  /** RFC 9110, section 5.5, without its obsolete bytes: visible ASCII, blanks and tabs only inside. */
  #headerValue(path: ConfigPath, template: string): Secret {
    const value = this.#attempt(path, () => fillTemplate(template, this.#sources))
    if (value !== '' && !/^[!-~](?:[\t -~]*[!-~])?$/.test(value)) {
      this.#report(path, 'gives a value that no header may have: visible ASCII in one line, no blanks around it')
    }
    return new Secret(value)
  }
}

/** Whether only this machine can reach a listener on `host`. */
function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\./.test(host)
}
