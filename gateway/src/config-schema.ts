// The shape of the config file, and what is allowed in each place. Strict: a key that is not known is an error, for a
// misspelt `allowPorts` must not be silently the default. Files and secrets are not read here.

import { parseAuthority } from 'ccr-upstream-proxy/protocol'
import { z } from 'zod'
import { parsePrefix } from './address-policy.js'
import { isReservedField } from './inject.js'

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/

const text = z.string({ error: 'must be text (quote it if it looks like a number)' }).min(1, 'must not be empty')
const path = text.regex(/^\/[!-~]*$/, 'must begin with / and hold visible ASCII only')

const authority = text.refine((value) => parseAuthority(value) !== undefined, 'must be host:port')

const listen = text
  .refine((value) => parseListen(value) !== undefined, 'must be host:port, such as 127.0.0.1:8443 or [::1]:0')
  .transform((value) => parseListen(value) as ListenAddress)

const certificatePair = z.strictObject({ certificate: text, key: text })

const session = z
  .strictObject({
    id: text.regex(/^[!-9;-~]{1,128}$/, 'must be 1 to 128 visible ASCII characters without a colon'),
    tokenSha256: text
      .regex(/^[0-9A-Fa-f]{64}$/, 'must be 64 hex digits (see: ccr-upstream-gateway token)')
      .transform((value) => value.toLowerCase())
      .optional(),
    tokenFile: text.optional(),
    tokenEnv: text.optional(),
  })
  .refine(
    ({ tokenSha256, tokenFile, tokenEnv }) => [tokenSha256, tokenFile, tokenEnv].filter(Boolean).length === 1,
    'must have exactly one of tokenSha256, tokenFile, tokenEnv',
  )

const method = text.regex(TOKEN, 'must be an HTTP method').transform((value) => value.toUpperCase())

const match = z.strictObject({
  path: path.refine((value) => !/[?#]/.test(value), 'must have no query').optional(),
  method: z
    .union([method, z.array(method).min(1)], { error: 'must be an HTTP method or a list of them' })
    .transform((value) => (typeof value === 'string' ? [value] : value))
    .optional(),
})

const headerName = text
  .regex(TOKEN, 'must be a header name')
  .refine((name) => !isReservedField(name), "is the gateway's own and cannot be set by a rule")

const transform = z.strictObject({ headers: z.record(headerName, text, { error: 'must be a map of header names' }) })

const rule = z.strictObject({
  match: match.default({}),
  transform: z.array(transform, { error: 'must be a list' }).default([]),
})

const hostPattern = text.refine(
  (value) => canonicalHostPattern(value) !== undefined,
  'must be a host name, *.name or an address',
)

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
  default: z.enum(['allow', 'deny'], { error: 'must be allow or deny' }).default('allow'),
  listen: listen.default({ host: '127.0.0.1', port: 8443 }),
  paths: paths.prefault({}),
  tls: certificatePair.optional(),
  ca: certificatePair,
  sessions: z.array(session, { error: 'must be a list' }).min(1, 'must have at least one session'),
  audit: text.default('stdout'),
  upstream: upstream.prefault({}),
  hosts: z
    .record(hostPattern, z.array(rule, { error: 'must be a list of rules' }), { error: 'must map hosts to rules' })
    .default({}),
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

/** Lower case, no trailing dot; a `*` only as the whole first label. */
export function canonicalHostPattern(value: string): string | undefined {
  const isWildcard = value.startsWith('*.')
  const parsed = parseAuthority(`${isWildcard ? value.slice(2) : value}:443`)
  if (parsed === undefined || (isWildcard && parsed.kind !== 'name')) return undefined
  return isWildcard ? `*.${parsed.host}` : parsed.host
}
