// The environment for children: one table of variables, what each points at, and which tool needs it. What the tools
// really do with them was measured; see doc/clients.md.
//
// Rules:
// - Never HTTP_PROXY or ALL_PROXY: the relay answers plain HTTP with 405.
// - The proxy's address is 127.0.0.1, never localhost: another user could hold the same port on [::1].
// - NO_PROXY has no bracket, no IPv6 network and no space: each breaks a Python client.
// - A variable of the table that the container has set already is overwritten, or it would shadow the bundle; the
//   certificates that it named stay trusted.

import type { Environment } from '../settings.js'

/** What a variable's value is. */
export type VariableTarget =
  /** The relay's address. */
  | 'proxy'
  /** The hosts that go past the relay. */
  | 'no-proxy'
  /** A file with the system's certificates, the gateway's CA and what the container had named. */
  | 'full-bundle'
  /** A file with the gateway's CA and what the container had named for the same variable. */
  | 'extra-certificates'
  /** The value `1`. */
  | 'switch'

/** One row. */
export interface ChildVariable {
  readonly name: string
  readonly target: VariableTarget
  /** `always`, or `inherited`: only when the container has set it already. */
  readonly when: 'always' | 'inherited'
  /** Who reads it. */
  readonly tools: string
}

const always = (name: string, target: VariableTarget, tools: string): ChildVariable => ({
  name,
  target,
  when: 'always',
  tools,
})
const inherited = (name: string, tools: string): ChildVariable => ({
  name,
  target: 'full-bundle',
  when: 'inherited',
  tools,
})

/** The table. */
export const CHILD_VARIABLES: readonly ChildVariable[] = [
  always('HTTPS_PROXY', 'proxy', 'curl, Go, npm, pnpm, Deno, LWP and most others'),
  always('https_proxy', 'proxy', 'wget, gRPC; wins over the upper-case twin in most tools'),
  always('NO_PROXY', 'no-proxy', 'Go, npm, pnpm, Deno, LWP and most others'),
  always('no_proxy', 'no-proxy', 'wget, gRPC; wins over the upper-case twin in most tools'),
  always('SSL_CERT_FILE', 'full-bundle', 'OpenSSL, Go, rustls, Ruby, Bun, httpx'),
  always('NODE_EXTRA_CA_CERTS', 'extra-certificates', 'Node, npm, yarn, pnpm, Bun, Deno'),
  always('REQUESTS_CA_BUNDLE', 'full-bundle', 'requests, pip, boto3, gcloud'),
  always('CURL_CA_BUNDLE', 'full-bundle', 'curl, R'),
  always(
    'GIT_SSL_CAINFO',
    'full-bundle',
    'git on Debian and Ubuntu, which reads neither SSL_CERT_FILE nor CURL_CA_BUNDLE',
  ),
  always('NODE_USE_ENV_PROXY', 'switch', 'fetch and node:https of Node 22.21 and later; node:https of Bun and Deno'),
  always('DENO_CERT', 'full-bundle', 'Deno before 2.8'),
  always('CARGO_HTTP_CAINFO', 'full-bundle', 'cargo with an http.cainfo in its configuration'),
  always('PIP_CERT', 'full-bundle', 'pip with a cert in its configuration'),
  always('npm_config_cafile', 'full-bundle', 'npm and yarn 1 with a cafile in an npmrc'),
  always('AWS_CA_BUNDLE', 'full-bundle', 'the AWS command line and SDKs'),
  always('HTTPLIB2_CA_CERTS', 'full-bundle', 'httplib2 and Google clients on it'),
  always('CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE', 'full-bundle', 'gsutil, gcloud'),
  always('GRPC_DEFAULT_SSL_ROOTS_FILE_PATH', 'full-bundle', 'gRPC for Python and other languages on its core'),
  always('PERL_LWP_SSL_CA_FILE', 'full-bundle', 'LWP'),
  always('PERL_LWP_ENV_PROXY', 'switch', 'LWP programs that do not ask for the proxy themselves'),
  always('NIX_SSL_CERT_FILE', 'full-bundle', 'nix'),
  always('YARN_HTTPS_PROXY', 'proxy', 'yarn 2 to 4'),
  inherited('NPM_CONFIG_CAFILE', 'npm'),
  inherited('BUNDLE_SSL_CA_CERT', 'bundler'),
  inherited('COMPOSER_CAFILE', 'composer'),
  inherited('HEX_CACERTS_PATH', 'hex'),
  inherited('CODEX_CA_CERTIFICATE', 'codex'),
  inherited('SYSTEM_CERTIFICATE_PATH', 'Haskell tls'),
]

/** What goes past the relay whatever the container says: this machine, private networks, the Anthropic API. */
const DEFAULT_NO_PROXY = [
  'localhost',
  '127.0.0.1',
  '::1',
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '169.254.0.0/16',
  'anthropic.com',
  '.anthropic.com',
  '*.anthropic.com',
] as const

/** What the variables point at. */
export interface ChildTargets {
  /** `http://127.0.0.1:<port>` */
  readonly proxyUrl: string
  readonly fullBundleFile: string
  readonly extraCertificatesFile: string
}

/** The variables that children get on top of `environment`. */
export function createChildEnvironment(targets: ChildTargets, environment: Environment): Record<string, string> {
  const values: Record<VariableTarget, string> = {
    proxy: targets.proxyUrl,
    'no-proxy': mergeNoProxy(environment),
    'full-bundle': targets.fullBundleFile,
    'extra-certificates': targets.extraCertificatesFile,
    switch: '1',
  }
  const wanted = CHILD_VARIABLES.filter(({ name, when }) => when === 'always' || Boolean(environment[name]))
  return Object.fromEntries(wanted.map(({ name, target }) => [name, values[target]]))
}

/** The certificate files that the container's variables name, each once: for the full bundle, and for the extras alone. */
export function inheritedCertificateFiles(environment: Environment): {
  readonly full: string[]
  readonly extra: string[]
} {
  const files = (targets: readonly VariableTarget[]): string[] => {
    const named = CHILD_VARIABLES.filter(({ target }) => targets.includes(target)).map(({ name }) => environment[name])
    return [...new Set(named.filter((file) => file !== undefined && file !== ''))] as string[]
  }
  return { full: files(['full-bundle', 'extra-certificates']), extra: files(['extra-certificates']) }
}

function mergeNoProxy(environment: Environment): string {
  const own = [environment.NO_PROXY, environment.no_proxy].flatMap((list) => list?.split(/[\s,]+/) ?? [])
  return [...new Set([...DEFAULT_NO_PROXY, ...own.filter(isSafeNoProxyEntry)])].join(',')
}

/** `*` would turn the proxy off for everything; `[` and IPv6 networks crash httpx. */
function isSafeNoProxyEntry(entry: string): boolean {
  return entry !== '' && entry !== '*' && !entry.includes('[') && !(entry.includes(':') && entry.includes('/'))
}
