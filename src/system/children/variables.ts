// The environment for children as one table: each variable, what it points at, which tool needs it, and what shows that.
// What the tools really do with them was measured; doc/clients.md is drawn from here and from the last run of the matrix.
//
// Rules:
// - Never HTTP_PROXY or ALL_PROXY: the relay answers plain HTTP with 405. Nothing that weakens verification.
// - A variable whose missing file stops a program from starting names a file that outlives the relay.
// - A variable that holds options of other people (NODE_OPTIONS) is extended, never replaced.

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
  /** Settings for git (git-config(1), ENVIRONMENT), behind those that are there. */
  | 'git-config'
  /** A file of settings or code for one tool, or options that name one. */
  | 'file'

/** Who gets a variable: everybody; unless turned off; with files that tools read; where the container has set it already. */
export type VariableLevel = 'contract' | 'default' | 'files' | 'inherited'

/** One row. */
export interface ChildVariable {
  readonly name: string
  readonly target: VariableTarget
  readonly level: VariableLevel
  /** Who reads it. */
  readonly tools: string
  /** What shows that it is needed and works: tools of the matrix, or `documentation` of the tool alone. */
  readonly proof: readonly string[]
}

const rows =
  (level: VariableLevel) =>
  (name: string, target: VariableTarget, tools: string, ...proof: string[]): ChildVariable => ({
    name,
    target,
    level,
    tools,
    proof: proof.length > 0 ? proof : ['documentation'],
  })
const contract = rows('contract')
const byDefault = rows('default')
const withFiles = rows('files')
const inherited = (name: string, tools: string): ChildVariable => rows('inherited')(name, 'full-bundle', tools)

/** The table. */
export const CHILD_VARIABLES: readonly ChildVariable[] = [
  contract('HTTPS_PROXY', 'proxy', 'curl, Go, npm, pnpm, Deno, LWP and most others', 'curl', 'go', 'npm'),
  contract('https_proxy', 'proxy', 'wget, gRPC; wins over the upper-case twin in most tools', 'wget', 'python-grpcio'),
  contract('NO_PROXY', 'no-proxy', 'Go, npm, pnpm, Deno, LWP and most others', 'curl', 'go', 'npm'),
  contract('no_proxy', 'no-proxy', 'wget, gRPC; wins over the upper-case twin in most tools', 'wget', 'python-grpcio'),
  contract('SSL_CERT_FILE', 'full-bundle', 'OpenSSL, Go, rustls, Ruby, Bun, httpx', 'go', 'python-httpx', 'ruby-gem'),
  contract('NODE_EXTRA_CA_CERTS', 'extra-certificates', 'Node, npm, yarn, pnpm, Bun, Deno', 'node22', 'npm', 'deno'),
  contract('REQUESTS_CA_BUNDLE', 'full-bundle', 'requests, pip, boto3, gcloud', 'python-requests', 'pip'),
  contract('CURL_CA_BUNDLE', 'full-bundle', 'curl, R', 'curl', 'r'),

  byDefault(
    'GIT_SSL_CAINFO',
    'full-bundle',
    'git on Debian, which reads neither SSL_CERT_FILE nor CURL_CA_BUNDLE',
    'git',
  ),
  byDefault(
    'NODE_USE_ENV_PROXY',
    'switch',
    'fetch and node:https of Node 22.21 and later; node:https of Bun and Deno',
    'node22',
    'node24',
  ),
  byDefault(
    'GIT_CONFIG_COUNT',
    'git-config',
    'git over HTTP/1.1: with libcurl 7.88 (Debian 12) an upload over HTTP/2 that had to wait never goes on',
    'git',
  ),
  byDefault('DENO_CERT', 'full-bundle', 'Deno before 2.8'),
  byDefault('CARGO_HTTP_CAINFO', 'full-bundle', 'cargo with an http.cainfo in its configuration', 'cargo'),
  byDefault('PIP_CERT', 'full-bundle', 'pip with a cert in its configuration', 'pip'),
  byDefault('npm_config_cafile', 'full-bundle', 'npm and yarn 1 with a cafile in an npmrc', 'npm'),
  byDefault('AWS_CA_BUNDLE', 'full-bundle', 'the AWS command line and SDKs', 'aws'),
  byDefault('HTTPLIB2_CA_CERTS', 'full-bundle', 'httplib2 and Google clients on it'),
  byDefault('CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE', 'full-bundle', 'gsutil, gcloud'),
  byDefault(
    'GRPC_DEFAULT_SSL_ROOTS_FILE_PATH',
    'full-bundle',
    'gRPC for Python and other languages on its core',
    'python-grpcio',
  ),
  byDefault('PERL_LWP_SSL_CA_FILE', 'full-bundle', 'LWP', 'perl-lwp'),
  byDefault('PERL_LWP_ENV_PROXY', 'switch', 'LWP programs that do not ask for the proxy themselves', 'perl-lwp'),
  byDefault('NIX_SSL_CERT_FILE', 'full-bundle', 'nix'),
  byDefault('YARN_HTTPS_PROXY', 'proxy', 'yarn 2 to 4', 'yarn4'),

  withFiles('WGETRC', 'file', 'wget, which reads no CA variable', 'wget'),
  withFiles('PHP_INI_SCAN_DIR', 'file', "PHP's curl extension, which reads no CA variable", 'php-curl'),
  withFiles('APT_CONFIG', 'file', 'apt, which reads no CA variable', 'apt'),
  withFiles('NODE_OPTIONS', 'file', 'fetch and node:https of Node before 22.21 and of 24.0 to 24.4', 'node20'),
  withFiles(
    'JAVA_TOOL_OPTIONS',
    'file',
    'Java, which reads no proxy variable and has its own trust store',
    'java',
    'mvn',
  ),
  withFiles('RUBYLIB', 'file', 'Net::HTTP and bundler, which look at http_proxy even for https', 'ruby-net-http'),

  inherited('NPM_CONFIG_CAFILE', 'npm'),
  inherited('BUNDLE_SSL_CA_CERT', 'bundler'),
  inherited('COMPOSER_CAFILE', 'composer'),
  inherited('HEX_CACERTS_PATH', 'hex'),
  inherited('CODEX_CA_CERTIFICATE', 'codex'),
  inherited('SYSTEM_CERTIFICATE_PATH', 'Haskell tls'),
]
