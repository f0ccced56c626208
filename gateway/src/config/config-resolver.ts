// Makes of a config file what runs: defaults filled in, and everything read that it names: certificates, secrets, tokens. What is
// wrong is collected, so that all of it is said at once.

import { resolve } from 'node:path'
import { type Authority, formatAuthority, parseAuthority } from 'ccr-upstream-proxy/protocol'
import type { AuditTarget } from '../audit/audit-sink.js'
import { readSecretFile } from '../credentials/secrets/file-secret.js'
import { Secret } from '../credentials/secrets/secret.js'
import { fromEnvironment, type NamedSecret, SecretStore } from '../credentials/secrets/secret-store.js'
import type { OriginConfig } from '../origin/dialer.js'
import type { ForwardConfig } from '../origin/forward-proxy.js'
import type { Policy } from '../policy/policy.js'
import { parseKeySet } from '../sessions/key-set.js'
import { hashToken, type SessionConfig } from '../sessions/sessions.js'
import type { TokenVerifierConfig } from '../sessions/token-verifier.js'
import type { CertificateConfig, GatewayConfig } from './config.js'
import { type Policies, resolvePolicies } from './config-policy.js'
import type { ConfigPath, ConfigProblems } from './config-problem.js'
import { type ConfigFile, isLoopback, parseForwardProxy, parseKeySetSource } from './config-schema.js'

/** Where a config text comes from. */
export interface ConfigOrigin {
  /** Name of the file, for messages. */
  readonly file: string
  /** The environment that secrets are looked up in, and that their commands get. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** What relative paths are relative to. */
  readonly baseDir: string
}

/** All the public roots together are a quarter of this. */
const MAX_PEM_BYTES = 1_048_576
/** A cloud's credential helper answers in one or two. */
const DEFAULT_COMMAND_SECONDS = 10

export class ConfigResolver {
  readonly #origin: ConfigOrigin
  readonly #file: ConfigFile
  readonly #problems: ConfigProblems
  readonly #secrets: SecretStore

  constructor(origin: ConfigOrigin, file: ConfigFile, problems: ConfigProblems) {
    this.#origin = origin
    this.#file = file
    this.#problems = problems
    this.#secrets = new SecretStore({
      env: origin.env,
      resolvePath: (path) => this.#path(path),
      named: namedSecrets(file),
    })
  }

  resolve(): Omit<GatewayConfig, 'locate'> {
    const file = this.#file
    this.#assertWhole()
    for (const name of Object.keys(file.secrets)) {
      this.#problems.attempt(['secrets', name], () => this.#secrets.declare(name))
    }
    const policies = resolvePolicies(file, this.#secrets, this.#problems)
    return {
      ...policies.base,
      listen: file.listen,
      paths: file.paths,
      admin: file.admin,
      tls: file.tls && this.#certificate(['tls'], file.tls),
      ca: this.#ca(file.ca),
      sessions: this.#sessions(policies),
      jwt: file.jwt.map((jwt, index) => this.#jwt(['jwt', index], jwt, policies)),
      audit: this.#audit(file.audit),
      upstream: this.#upstream(file.upstream),
      forward: file.forward && this.#forward(file.forward),
      secrets: this.#secrets,
    }
  }

  /** What one key demands of another. */
  #assertWhole(): void {
    const { tls, listen, ca, forward, sessions, jwt, hosts, policies } = this.#file
    const report = (path: ConfigPath, message: string) => this.#problems.report(path, message)
    if (tls === undefined && !isLoopback(listen.host)) {
      report(['listen'], 'without tls the gateway listens on loopback only: the session token would be in clear')
    }
    if (sessions.length + jwt.length === 0)
      report(['sessions'], 'must have at least one session, unless jwt has an issuer')
    if (forward === undefined) {
      if (ca.key === undefined) report(['ca', 'key'], 'is missing')
      return
    }
    const ruled = [
      ['hosts', hosts],
      ...Object.entries(policies).map(([name, policy]) => [`policies.${name}`, policy.hosts]),
    ]
    if (ruled.some(([, rules]) => Object.keys(rules as object).length > 0)) {
      report(['forward'], 'leaves the requests to that proxy: rules in hosts would do nothing')
    }
    if ((forward.user === undefined) !== (forward.password === undefined)) {
      report(['forward'], 'must have user and password, or neither')
    }
  }

  #path(name: string): string {
    return resolve(this.#origin.baseDir, name)
  }

  #readPem(path: ConfigPath, name: string): string {
    return this.#problems.attempt(path, () => `${readSecretFile(this.#path(name), MAX_PEM_BYTES)}\n`) ?? ''
  }

  #certificate(path: ConfigPath, pair: { certificate: string; key: string }): CertificateConfig {
    return {
      certificatePem: this.#readPem([...path, 'certificate'], pair.certificate),
      privateKeyPem: new Secret(this.#readPem([...path, 'key'], pair.key)),
    }
  }

  #ca({ certificate, key }: ConfigFile['ca']): GatewayConfig['ca'] {
    return {
      certificatePem: this.#readPem(['ca', 'certificate'], certificate),
      privateKeyPem: key === undefined ? undefined : new Secret(this.#readPem(['ca', 'key'], key)),
    }
  }

  #sessions(policies: Policies): SessionConfig[] {
    const seen = new Set<string>()
    return this.#file.sessions.map((session, index) => {
      const path = ['sessions', index]
      const tokenSha256 = this.#tokenHash(path, session)
      if (seen.has(tokenSha256)) this.#problems.report(path, 'has the token of another session')
      seen.add(tokenSha256)
      const policy = this.#policy([...path, 'policy'], session.policy, policies)
      return {
        id: session.id,
        tokenSha256,
        ...(session.expires !== undefined && { expiresAtMs: session.expires }),
        ...(policy !== undefined && { policy }),
      }
    })
  }

  #policy(path: ConfigPath, name: string | undefined, { named }: Policies): Policy | undefined {
    if (name !== undefined && !named.has(name)) this.#problems.report(path, 'must be a name under policies')
    return name === undefined ? undefined : named.get(name)
  }

  #tokenHash(path: ConfigPath, session: ConfigFile['sessions'][number]): string {
    const { tokenSha256, tokenFile, tokenEnv } = session
    if (tokenSha256 !== undefined) return tokenSha256
    const key = [...path, tokenFile === undefined ? 'tokenEnv' : 'tokenFile']
    const token = this.#problems.attempt(key, () => {
      if (tokenFile !== undefined) return readSecretFile(this.#path(tokenFile))
      return fromEnvironment(tokenEnv as string, this.#origin.env)
    })
    if (token !== undefined && /[^!-~]/.test(token)) {
      this.#problems.report(key, 'must hold one token of visible ASCII characters')
    }
    return hashToken(token ?? '')
  }

  #jwt(path: ConfigPath, jwt: ConfigFile['jwt'][number], policies: Policies): TokenVerifierConfig {
    const source = parseKeySetSource(jwt.jwks) as TokenVerifierConfig['jwks']
    const jwks = 'file' in source ? { file: this.#path(source.file) } : source
    if ('file' in jwks) this.#assertKeySet([...path, 'jwks'], jwks.file)
    return {
      ...jwt,
      jwks,
      policyClaim: jwt.policyClaim,
      policies: policies.named,
      policy: this.#policy([...path, 'policy'], jwt.policy, policies),
    }
  }

  #assertKeySet(path: ConfigPath, file: string): void {
    const text = this.#problems.attempt(path, () => readSecretFile(file, MAX_PEM_BYTES))
    if (text === undefined) return
    try {
      parseKeySet(text)
    } catch {
      this.#problems.report(path, 'must be a JSON Web Key Set with public keys only')
    }
  }

  #forward({ proxy, sessionHeader, user, password }: NonNullable<ConfigFile['forward']>): ForwardConfig {
    const value = (name: 'user' | 'password', template: string) => {
      const filled = this.#problems.attempt(['forward', name], () => this.#secrets.fill(template))
      return new Secret(() => filled?.now().text ?? '')
    }
    const credential =
      user === undefined || password === undefined
        ? undefined
        : { user: value('user', user), password: value('password', password) }
    return { proxy: parseForwardProxy(proxy) as ForwardConfig['proxy'], sessionHeader, credential }
  }

  #audit(audit: string): AuditTarget {
    return audit === 'stdout' || audit === 'stderr' ? audit : { file: this.#path(audit) }
  }

  #upstream(upstream: ConfigFile['upstream']): OriginConfig {
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
      this.#problems.report(path, 'must be a PEM file with certificates')
    }
    return certificates
  }
}

function namedSecrets({ secrets }: ConfigFile): Record<string, NamedSecret> {
  const named = Object.entries(secrets).map(
    ([name, { env, file, command, ttlSeconds, timeoutSeconds }]): [string, NamedSecret] => {
      if (env !== undefined) return [name, { env }]
      if (file !== undefined) return [name, { file }]
      const [ttlMs, timeoutMs] = [(ttlSeconds as number) * 1_000, (timeoutSeconds ?? DEFAULT_COMMAND_SECONDS) * 1_000]
      return [name, { command: command as string[], ttlMs, timeoutMs }]
    },
  )
  return Object.fromEntries(named)
}
