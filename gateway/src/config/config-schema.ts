// The shape of the config file, and what is allowed in each place. Strict: a key that is not known is an error, for a
// misspelt `allowPorts` must not be silently the default. Files and secrets are not read here.

import { type Authority, parseAuthority } from 'ccr-upstream-proxy/protocol'
import { z } from 'zod'
import { fieldCredential } from '../credentials/field-credential.js'
import { placeholder as placeholderScheme } from '../credentials/schemes/placeholder.js'
import { isReservedField } from '../fields.js'
import { parsePrefix } from '../origin/address-policy.js'
import { canonicalHostPattern } from '../policy/host-pattern.js'
import { methodProblem } from '../policy/request-method.js'
import { type RequestPath, readPrefix } from '../policy/request-path.js'
import { TOKEN_ALGORITHMS } from '../sessions/token-verifier.js'

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/

const text = z.string({ error: 'must be text (quote it if it looks like a number)' }).min(1, 'must not be empty')
const path = text.regex(/^\/[!-~]*$/, 'must begin with / and hold visible ASCII only')

const authority = text.refine((value) => parseAuthority(value) !== undefined, 'must be host:port')

const listen = text
  .refine((value) => parseListen(value) !== undefined, 'must be host:port, such as 127.0.0.1:8443 or [::1]:0')
  .transform((value) => parseListen(value) as ListenAddress)

const certificatePair = z.strictObject({ certificate: text, key: text })

const sessionId = text.regex(/^[!-9;-~]{1,128}$/, 'must be 1 to 128 visible ASCII characters without a colon')

const session = z
  .strictObject({
    id: sessionId,
    tokenSha256: text
      .regex(/^[0-9A-Fa-f]{64}$/, 'must be 64 hex digits (see: ccr-upstream-gateway token)')
      .transform((value) => value.toLowerCase())
      .optional(),
    tokenFile: text.optional(),
    tokenEnv: text.optional(),
    expires: z.iso
      .datetime({ offset: true, error: 'must be a time such as "2027-01-31T12:00:00Z"' })
      .transform((value) => Date.parse(value))
      .optional(),
    policy: text.optional(),
  })
  .refine(
    ({ tokenSha256, tokenFile, tokenEnv }) => [tokenSha256, tokenFile, tokenEnv].filter(Boolean).length === 1,
    'must have exactly one of tokenSha256, tokenFile, tokenEnv',
  )

const jwt = z.strictObject({
  issuer: text,
  audience: text,
  jwks: text.refine((value) => parseKeySetSource(value) !== undefined, 'must be an https:// URL or a file'),
  algorithms: z
    .array(z.enum(TOKEN_ALGORITHMS, { error: `must be one of ${TOKEN_ALGORITHMS.join(', ')}` }))
    .min(1, 'must have at least one algorithm')
    .default([...TOKEN_ALGORITHMS]),
  sessionClaim: text.default('sub'),
  policyClaim: text.optional(),
  policy: text.optional(),
  revoked: z.array(sessionId).default([]),
})

const count = z.int('must be a whole number').min(1, 'must be at least 1')

const limits = z.strictObject({
  tunnels: count.optional(),
  concurrentRequests: count.optional(),
  requestsPerMinute: count.optional(),
})

const seconds = z
  .number('must be a number of seconds')
  .min(1, 'must be at least 1 second')
  .max(86_400 * 20)

const secret = z
  .strictObject({
    env: text.optional(),
    file: text.optional(),
    command: z
      .array(z.string('must be text'), { error: 'must be a list: a program and its arguments' })
      .min(1, 'must have a program')
      .optional(),
    ttlSeconds: seconds.optional(),
    timeoutSeconds: seconds.optional(),
  })
  .refine(
    ({ env, file, command }) => [env, file, command].filter(Boolean).length === 1,
    'must have exactly one of env, file, command',
  )
  .refine(({ command, ttlSeconds }) => (command === undefined) === (ttlSeconds === undefined), {
    error: 'ttlSeconds belongs to a command, and a command needs it',
    path: ['ttlSeconds'],
  })

const method = text
  .regex(TOKEN, 'must be an HTTP method')
  .transform((value) => value.toUpperCase())
  .refine((value) => methodProblem(value) === undefined, 'is never forwarded')

const scheme = text.regex(TOKEN, 'must be an authentication scheme or none').transform((value) => value.toLowerCase())

const match = z.strictObject({
  path: path
    .refine(
      (value) => readPrefix(value) !== undefined,
      'must be plain: no query, no empty or dot segment, no ; \\ %2F or stray %',
    )
    .transform((value) => readPrefix(value) as RequestPath)
    .optional(),
  method: oneOrMore(method, 'must be an HTTP method or a list of them').optional(),
  scheme: oneOrMore(scheme, 'must be an authentication scheme, none, or a list of them').optional(),
})

function oneOrMore<T>(item: z.ZodType<T, unknown>, error: string) {
  return z.union([z.string().transform((one) => [one]), z.unknown()]).pipe(z.array(item, { error }).min(1, error))
}

const headerName = text
  .regex(TOKEN, 'must be a header name')
  .refine((name) => !isReservedField(name), "is the gateway's own and cannot be set by a rule")

const headerValues = z.record(headerName, fieldCredential, { error: 'must be a map of header names' })

/** Long enough that no client sends it by chance. */
const placeholder = text.regex(/^[!-~]{8,256}$/, 'must be 8 to 256 visible ASCII characters')

const transform = z.strictObject({
  headers: headerValues.default({}),
  replace: headerValues.default({}),
  remove: z.array(headerName, { error: 'must be a list of header names' }).default([]),
  placeholders: z.record(placeholder, placeholderScheme.form, { error: 'must map placeholders to values' }).default({}),
})

const rule = z.strictObject({
  match: match.default({}),
  transform: z.array(transform, { error: 'must be a list' }).default([]),
})

const hostPattern = text.refine(
  (value) => canonicalHostPattern(value) !== undefined,
  'must be a host name, *.name or an address, :port may follow',
)

const hostPatterns = z.array(hostPattern, { error: 'must be a list of hosts' })

const hosts = z.record(hostPattern, z.array(rule, { error: 'must be a list of rules' }), {
  error: 'must map hosts to rules',
})

const defaultVerdict = z.enum(['allow', 'deny'], { error: 'must be allow or deny' })

const policy = z.strictObject({
  default: defaultVerdict.optional(),
  allow: hostPatterns.default([]),
  deny: hostPatterns.default([]),
  pinned: hostPatterns.default([]),
  limits: limits.default({}),
  hosts: hosts.default({}),
})

const forward = z.strictObject({
  proxy: text.refine((value) => parseForwardProxy(value) !== undefined, 'must be http://host:port'),
  sessionHeader: headerName.default('X-Ccr-Session'),
  user: text.regex(/^[^:]+$/, 'must have no colon').optional(),
  password: text.optional(),
})

const upstream = z.strictObject({
  caFiles: z.array(text).default([]),
  allowAddresses: z
    .array(
      text.refine((value) => parsePrefix(value) !== undefined, 'must be an address or a prefix such as 10.0.0.0/8'),
    )
    .default([]),
  allowPorts: z.array(z.int('must be a port').min(1, 'must be a port').max(65_535, 'must be a port')).default([443]),
  connectTo: z.record(authority, authority, { error: 'must map host:port to host:port' }).default({}),
})

const paths = z.strictObject({
  tunnel: path.default('/upstreamproxy/ws'),
  caCertificate: path.default('/upstreamproxy/ca-cert'),
  health: path.default('/healthz'),
})

/** The whole file. */
export const configSchema = z.strictObject({
  default: defaultVerdict.default('allow'),
  allow: hostPatterns.default([]),
  deny: hostPatterns.default([]),
  pinned: hostPatterns.default([]),
  listen: listen.default({ host: '127.0.0.1', port: 8443 }),
  paths: paths.prefault({}),
  admin: z.strictObject({ listen: listen.default({ host: '127.0.0.1', port: 9464 }) }).optional(),
  tls: certificatePair.optional(),
  ca: z.strictObject({ certificate: text, key: text.optional() }),
  sessions: z.array(session, { error: 'must be a list' }).default([]),
  jwt: z.array(jwt, { error: 'must be a list' }).default([]),
  limits: limits.default({}),
  policies: z.record(text, policy, { error: 'must map names to policies' }).default({}),
  audit: text.default('stdout'),
  upstream: upstream.prefault({}),
  forward: z
    .union([text.transform((proxy) => ({ proxy })), z.unknown()])
    .pipe(forward)
    .optional(),
  secrets: z.record(text, secret, { error: 'must map names to secrets' }).default({}),
  hosts: hosts.default({}),
})

export type ConfigFile = z.infer<typeof configSchema>

/** Where the gateway listens. Port 0 is any free one. */
export interface ListenAddress {
  readonly host: string
  readonly port: number
}

function parseListen(value: string): ListenAddress | undefined {
  const match = /^(.+):(0|[1-9][0-9]{0,4})$/.exec(value)
  const host = parseAuthority(`${match?.[1]}:1`)?.host
  const port = Number(match?.[2])
  return host === undefined || !(port <= 65_535) ? undefined : { host, port }
}

/** Where an issuer's keys are: `https:` anywhere, `http:` on loopback only, or a file. */
export function parseKeySetSource(value: string): { readonly url: URL } | { readonly file: string } | undefined {
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(value)) return { file: value }
  const url = URL.canParse(value) ? new URL(value) : undefined
  const isSafe = url?.protocol === 'https:' || (url?.protocol === 'http:' && isLoopback(url.hostname))
  return url !== undefined && isSafe ? { url } : undefined
}

/** The proxy that tunnels are handed to: nothing but its host and port. */
export function parseForwardProxy(value: string): Authority | undefined {
  const [, authority] = /^http:\/\/([^/?#@]+)\/?$/.exec(value) ?? []
  return authority === undefined ? undefined : parseAuthority(authority)
}

/** Whether only this machine can reach a listener on `host`. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host === '[::1]' || /^127\.[0-9.]+$/.test(host)
}

/** Every key that the file may have: `sessions[].id`, `hosts.*[].match.path`; of alternatives the fullest. */
export function configKeys(): string[] {
  const { forward: _alternatives, ...properties } = shapeOf(configSchema).properties ?? {}
  return keysIn({ properties: { ...properties, forward: shapeOf(forward) } }, '')
}

function shapeOf(schema: z.ZodType): JsonShape {
  return z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as JsonShape
}

interface JsonShape {
  readonly properties?: Readonly<Record<string, JsonShape>>
  readonly additionalProperties?: JsonShape | boolean
  readonly items?: JsonShape
  readonly anyOf?: readonly JsonShape[]
}

/** Header values and maps of plain values are one key. */
function keysIn(shape: JsonShape, path: string): string[] {
  const { properties, additionalProperties, items, anyOf } = shape
  if (properties !== undefined)
    return Object.entries(properties).flatMap(([key, inner]) => keysIn(inner, path === '' ? key : `${path}.${key}`))
  const inner = items ?? (typeof additionalProperties === 'object' ? additionalProperties : undefined)
  if (inner === undefined || anyOf !== undefined) return [path]
  const deeper = keysIn(inner, `${path}${items === undefined ? '.*' : '[]'}`)
  return deeper.every((key) => !key.slice(path.length).includes('.', 2)) ? [path] : deeper
}
