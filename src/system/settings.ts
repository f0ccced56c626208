// Where the configuration comes from: options of the call first, then the environment, then the defaults of the design.

import { UpstreamProxyError } from '../errors.js'
import { LOG_LEVELS, type LogLevel } from '../log.js'
import { nearestName } from '../nearest-name.js'
import { canonicalName } from '../protocol/authority.js'
import { isGatewayUrl } from '../protocol/gateway-url.js'
import { CHILD_ENV_LEVELS, type ChildEnvChoice, type ChildEnvLevel } from './children/child-env.js'
import { DEFAULT_NO_PROXY } from './children/no-proxy-list.js'
import type { Environment } from './environment.js'

/** What initUpstreamProxy() can be told instead of by the environment. */
export interface SettingsOptions {
  /** The guard. By default both CLAUDE_CODE_REMOTE and CCR_UPSTREAM_PROXY_ENABLED must be truthy. */
  readonly enabled?: boolean
  /** The gateway's base, `https://` (or `http://` on loopback). CCR_UPSTREAM_PROXY_URL, then ANTHROPIC_BASE_URL. */
  readonly url?: string
  /** Joined to the base. CCR_UPSTREAM_PROXY_TUNNEL_PATH; `/upstreamproxy/ws` by default. */
  readonly tunnelPath?: string
  /** Joined to the base. CCR_UPSTREAM_PROXY_CA_PATH; `/upstreamproxy/ca-cert` by default. */
  readonly caPath?: string
  /** PEM file that is trusted for the gateway itself besides the system's. CCR_UPSTREAM_PROXY_GATEWAY_CA. */
  readonly gatewayCaFile?: string
  /** User name of the tunnel's Basic credential. CLAUDE_CODE_REMOTE_SESSION_ID; `session` by default. */
  readonly sessionId?: string
  /** CCR_SESSION_TOKEN_PATH; `/run/ccr/session_token` by default. */
  readonly tokenFile?: string
  /** CCR_SYSTEM_CA_BUNDLE; by default the first of the distributions' known paths that exists. */
  readonly systemBundleFile?: string
  /**
   * For debugging this package alone: the process is not hardened, so that a debugger can be attached, and every process
   * of the same user can read the token. CCR_UPSTREAM_PROXY_DANGEROUSLY_ALLOW_INSPECTION=the-token-can-be-read.
   */
  readonly dangerouslyAllowInspection?: boolean
  /**
   * More entries for the clients' NO_PROXY: hosts, addresses and IPv4 networks that go past the gateway.
   * CCR_UPSTREAM_PROXY_NO_PROXY, between commas.
   */
  readonly noProxy?: readonly string[]
  /**
   * What NO_PROXY has besides without being told: `all` for private and link-local networks and the Anthropic API, `loopback` for
   * nothing, or the entries that it has instead. This machine is always in it. `all` by default;
   * CCR_UPSTREAM_PROXY_NO_PROXY_DEFAULTS, between commas.
   */
  readonly noProxyDefaults?: 'all' | 'loopback' | readonly string[]
  /** What of the table in doc/clients.md children get. All of it by default. */
  readonly childEnvironment?: {
    /** `contract`, `default` or `files`. CCR_UPSTREAM_PROXY_ENV. */
    readonly level?: ChildEnvLevel
    /** Names of variables to leave as they are. CCR_UPSTREAM_PROXY_ENV_EXCEPT, between commas. */
    readonly except?: readonly string[]
    /** Hosts whose SSH addresses git takes for HTTPS ones. None by default; CCR_UPSTREAM_PROXY_GIT_HTTPS, between commas. */
    readonly gitHttpsHosts?: readonly string[]
  }
  /**
   * File that gets one JSON line for each tunnel at its end; the gateway is told the ids. None by default.
   * CCR_UPSTREAM_PROXY_TUNNEL_LOG.
   */
  readonly tunnelLog?: string
  /** CCR_UPSTREAM_PROXY_LOG; `warn` by default. */
  readonly logLevel?: LogLevel
}

/** The configuration, complete and checked. */
export interface Settings {
  readonly tunnelUrl: URL
  readonly caUrl: URL
  readonly gatewayCaFile: string | undefined
  readonly sessionId: string
  readonly tokenFile: string
  readonly systemBundleFile: string | undefined
  readonly allowsInspection: boolean
  /** Not checked: what does harm is left out where the list is made. */
  readonly noProxyEntries: readonly string[]
  readonly childEnv: ChildEnvChoice
  readonly tunnelLog: string | undefined
  /** Of CCR_UPSTREAM_PROXY_PING_SECONDS; the option `limits` wins. */
  readonly pingIntervalMs: number | undefined
}

/** Seconds between pings: more often is of no use, and what does not cut within an hour does not cut. */
const [LEAST_PING_SECONDS, MOST_PING_SECONDS] = [1, 3_600]

/** Before every variable of this package's own, and what may stand behind it. */
const PREFIX = 'CCR_UPSTREAM_PROXY_'
const VARIABLES = [
  ...[
    'ENABLED',
    'URL',
    'TUNNEL_PATH',
    'CA_PATH',
    'GATEWAY_CA',
    'NO_PROXY',
    'NO_PROXY_DEFAULTS',
    'ENV',
    'ENV_EXCEPT',
    'GIT_HTTPS',
    'LOG',
  ],
  ...['TUNNEL_LOG', 'PING_SECONDS', 'DANGEROUSLY_ALLOW_INSPECTION'],
].map((name) => `${PREFIX}${name}`)
/** So many are named: an environment may hold anything. */
const MAX_NAMED = 5

const TRUTHY = /^(?:1|true|yes|on)$/i

/** Whether the guard lets the proxy start: both variables are `1`, `true`, `yes` or `on` in any case. */
export function isEnabled(options: SettingsOptions, environment: Environment): boolean {
  if (options.enabled !== undefined) return options.enabled
  return [environment.CLAUDE_CODE_REMOTE, environment.CCR_UPSTREAM_PROXY_ENABLED].every(
    (value) => value !== undefined && TRUTHY.test(value.trim()),
  )
}

/** The level of the log; an unknown word counts as the default, for the log must not be what fails. */
export function resolveLogLevel(options: SettingsOptions, environment: Environment): LogLevel {
  const word = options.logLevel ?? environment.CCR_UPSTREAM_PROXY_LOG?.trim().toLowerCase()
  return LOG_LEVELS.find((level) => level === word) ?? 'warn'
}

/** A warning for each variable that looks like one of ours and is none. Values are not said. */
export function findUnknownVariables(environment: Environment): UpstreamProxyError[] {
  const unknown = Object.keys(environment).filter((name) => name.startsWith(PREFIX) && !VARIABLES.includes(name))
  return unknown.slice(0, MAX_NAMED).map((name) => {
    const nearest = nearestName(name, VARIABLES)
    const meant = nearest === undefined ? '' : `; ${nearest} is`
    const named = name.replace(/[^\x21-\x7e]/g, '?').slice(0, 80)
    return new UpstreamProxyError('variable-unknown', `${named} is no variable of this package${meant}`)
  })
}

/**
 * Reads everything but the guard and the log level.
 * @throws {UpstreamProxyError} `config-invalid`, naming the variable
 */
export function resolveSettings(options: SettingsOptions, environment: Environment): Settings {
  const pick = (option: string | undefined, variable: string): string | undefined =>
    option ?? (environment[variable]?.trim() || undefined)
  const [variable, given] = pickBase(options, environment)
  const base = parseBase(given, variable)
  const tunnelPath = pick(options.tunnelPath, 'CCR_UPSTREAM_PROXY_TUNNEL_PATH') ?? '/upstreamproxy/ws'
  const caPath = pick(options.caPath, 'CCR_UPSTREAM_PROXY_CA_PATH') ?? '/upstreamproxy/ca-cert'
  const tunnelUrl = joinPath(base, tunnelPath)
  tunnelUrl.protocol = base.protocol === 'https:' ? 'wss:' : 'ws:'
  return {
    tunnelUrl,
    caUrl: joinPath(base, caPath),
    gatewayCaFile: pick(options.gatewayCaFile, 'CCR_UPSTREAM_PROXY_GATEWAY_CA'),
    sessionId: pick(options.sessionId, 'CLAUDE_CODE_REMOTE_SESSION_ID') ?? 'session',
    tokenFile: pick(options.tokenFile, 'CCR_SESSION_TOKEN_PATH') ?? '/run/ccr/session_token',
    systemBundleFile: pick(options.systemBundleFile, 'CCR_SYSTEM_CA_BUNDLE'),
    allowsInspection: options.dangerouslyAllowInspection ?? saysSo(environment),
    noProxyEntries: [
      ...resolveNoProxyDefaults(options.noProxyDefaults ?? listOf(environment.CCR_UPSTREAM_PROXY_NO_PROXY_DEFAULTS)),
      ...(options.noProxy ?? listOf(environment.CCR_UPSTREAM_PROXY_NO_PROXY)),
    ],
    childEnv: resolveChildEnv(options, environment),
    tunnelLog: pick(options.tunnelLog, 'CCR_UPSTREAM_PROXY_TUNNEL_LOG'),
    pingIntervalMs: resolvePingInterval(environment.CCR_UPSTREAM_PROXY_PING_SECONDS?.trim()),
  }
}

/** Nothing is as `all`, as with a variable that is empty. */
function resolveNoProxyDefaults(given: 'all' | 'loopback' | readonly string[]): readonly string[] {
  const [word, ...more] = typeof given === 'string' ? [given] : given
  if (more.length === 0 && word === 'loopback') return []
  if (more.length === 0 && (word === undefined || word === 'all')) return DEFAULT_NO_PROXY
  return given as readonly string[]
}

function resolvePingInterval(given: string | undefined): number | undefined {
  if (!given) return undefined
  const seconds = /^[0-9]{1,4}$/.test(given) ? Number(given) : 0
  if (seconds >= LEAST_PING_SECONDS && seconds <= MOST_PING_SECONDS) return seconds * 1_000
  const range = `a whole number from ${LEAST_PING_SECONDS} to ${MOST_PING_SECONDS}`
  throw new UpstreamProxyError('config-invalid', `CCR_UPSTREAM_PROXY_PING_SECONDS is not ${range}`)
}

function resolveChildEnv({ childEnvironment = {} }: SettingsOptions, environment: Environment): ChildEnvChoice {
  const given = childEnvironment.level ?? (environment.CCR_UPSTREAM_PROXY_ENV?.trim() || 'files')
  const level = CHILD_ENV_LEVELS.find((known) => known === given)
  if (level === undefined) {
    throw new UpstreamProxyError('config-invalid', `CCR_UPSTREAM_PROXY_ENV is none of ${CHILD_ENV_LEVELS.join(', ')}`)
  }
  const except = childEnvironment.except ?? listOf(environment.CCR_UPSTREAM_PROXY_ENV_EXCEPT)
  const gitHttpsHosts = childEnvironment.gitHttpsHosts ?? listOf(environment.CCR_UPSTREAM_PROXY_GIT_HTTPS)
  const badHost = gitHttpsHosts.find((host) => canonicalName(host) === undefined)
  if (badHost === undefined) return { level, except, gitHttpsHosts }
  throw new UpstreamProxyError('config-invalid', `CCR_UPSTREAM_PROXY_GIT_HTTPS: ${badHost} is no host name`)
}

function listOf(text: string | undefined): string[] {
  return (text ?? '').split(/[\s,]+/).filter((entry) => entry !== '')
}

/** A phrase, so that nobody sets it by accident. */
function saysSo(environment: Environment): boolean {
  return environment.CCR_UPSTREAM_PROXY_DANGEROUSLY_ALLOW_INSPECTION === 'the-token-can-be-read'
}

function pickBase(options: SettingsOptions, environment: Environment): [name: string, value: string] {
  if (options.url !== undefined) return ['url', options.url]
  for (const name of ['CCR_UPSTREAM_PROXY_URL', 'ANTHROPIC_BASE_URL']) {
    const value = environment[name]?.trim()
    if (value) return [name, value]
  }
  return ['the default address', 'https://api.anthropic.com']
}

function parseBase(text: string, name: string): URL {
  const invalid = (why: string): UpstreamProxyError => new UpstreamProxyError('config-invalid', `${name} ${why}`)
  if (!URL.canParse(text)) throw invalid('is not a URL')
  const url = new URL(text)
  if (url.username !== '' || url.password !== '') throw invalid('holds a user name or password')
  if (url.search !== '' || url.hash !== '') throw invalid('has a query or a fragment')
  if (/^https?:$/.test(url.protocol) && isGatewayUrl(url)) return url
  throw invalid('is neither https:// nor http:// on loopback')
}

function joinPath(base: URL, path: string): URL {
  const url = new URL(base)
  url.pathname = `${base.pathname.replace(/\/+$/, '')}/${path.replace(/^\/+/, '')}`
  return url
}
