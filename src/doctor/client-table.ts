// The clients that are tried: what makes each send one request that changes nothing, how it says that it was answered, and
// which variables bring it through. What they do with the variables was measured: doc/clients.md.
//
// Rules: a client is told of no proxy and no CA here, for that is what is tried. Every command leaves the target as it is.
// Cheap clients come first: where time runs out, it is the slow ones that are not tried.

/** What is asked for. */
export interface ClientTarget {
  /** `https://host[:port]/path` */
  readonly url: string
  /** `https://host[:port]` */
  readonly origin: string
  /** `host[:port]` */
  readonly host: string
}

/** One request of a client, made in an empty folder that is its home too. */
export interface Trial {
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly files?: Readonly<Record<string, string>>
}

/** One client. */
export interface Client {
  /** What the report calls it. */
  readonly name: string
  /** On PATH. */
  readonly program: string
  /** What makes it say its version; without it the trial says `version 1.2.3` before it asks, for the start costs the most. */
  readonly version?: readonly string[]
  /** How the trial says it otherwise. */
  readonly versionSaid?: RegExp
  readonly trial: (target: ClientTarget) => Trial
  /** In what it says when the target answered, whatever the answer was; the exit code 0 says so too. */
  readonly answered?: RegExp
  /** What it says before it asks again, which nothing keeps it from: it is ended there. */
  readonly endedAt?: RegExp
  /** Exit codes that say so. */
  readonly answeredBy?: readonly number[]
  /** The variable that tells it of the proxy, and the one that tells it of the CA. */
  readonly proxyVariable: string
  readonly trustVariable: string
  /** What is in its way besides variables. */
  readonly caution?: string
  /** What the trial needs to begin with. */
  readonly needs?: string
}

/** What a script says with its exit code when the library is not there, as EX_UNAVAILABLE of sysexits.h. */
export const NOT_INSTALLED = 69

const FETCH = (url: string): string => `console.log('version',
globalThis.Deno?.version.deno??globalThis.Bun?.version??process.versions.node)
fetch(${JSON.stringify(url)},{redirect:'manual'})
.then((answer)=>console.log(answer.status),(error)=>{console.error(String(error.cause??error));process.exitCode=1})`

function python(name: string, module: string, trustVariable: string, code: (url: string) => string): Client {
  return {
    name,
    program: 'python3',
    trial: ({ url }) => ({
      args: [
        '-c',
        `import sys
try: import ${module} as module, ${module}
except ImportError: sys.exit(${NOT_INSTALLED})
print('version', module.__version__, flush=True)
${code(`'${url}'`)}`,
      ],
    }),
    proxyVariable: 'HTTPS_PROXY',
    trustVariable,
  }
}

const RUBY = 'puts "version #{RUBY_VERSION}"; puts Net::HTTP.get_response(URI(ARGV[0])).code'

const JAVA_SOURCE = `import java.net.URI;
import java.net.http.*;
public class Client {
  public static void main(String[] arguments) throws Exception {
    System.out.println("version " + System.getProperty("java.version"));
    HttpRequest request = HttpRequest.newBuilder(URI.create(arguments[0])).build();
    System.out.println(HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.discarding()).statusCode());
  }
}
`

/** `python3 -m pip` that says its version. */
const PIP = `import runpy, sys
try: import pip
except ImportError: sys.exit(${NOT_INSTALLED})
print('version', pip.__version__, flush=True)
runpy.run_module('pip', run_name='__main__', alter_sys=True)`

/** A parent that no repository has: it is asked for, and nothing comes of it. */
const MAVEN_PROJECT = `<project><modelVersion>4.0.0</modelVersion>
<parent><groupId>doctor</groupId><artifactId>doctor</artifactId><version>1</version><relativePath/></parent>
<artifactId>doctor-child</artifactId><packaging>pom</packaging></project>
`

const mavenSettings = (url: string): string =>
  `<settings><mirrors><mirror><id>doctor</id><mirrorOf>*</mirrorOf><url>${url}</url></mirror></mirrors></settings>\n`

/** A dependency that no repository has, asked for while the script is read. */
const gradleBuild = (url: string): string => `println "version \${gradle.gradleVersion}"
repositories { maven { url '${url}' } }
configurations { doctor }
dependencies { doctor 'doctor:doctor:1' }
configurations.doctor.files
`

const GRADLE_ATTEMPTS = ['tentatives', 'retries'].map((name) => `-Dorg.gradle.internal.repository.max.${name}=1`)

/** A package that no registry has. */
const PACKAGE = 'ccr-upstream-proxy-doctor-asks'

/** The table. */
export const CLIENTS: readonly Client[] = [
  {
    name: 'curl',
    program: 'curl',
    version: ['--version'],
    trial: ({ url }) => ({ args: ['-sS', '-o', '/dev/null', '-w', '%{http_code}', url] }),
    proxyVariable: 'HTTPS_PROXY',
    trustVariable: 'CURL_CA_BUNDLE',
  },
  {
    name: 'wget',
    program: 'wget',
    // Both these options and those of the trial are known to the wget of BusyBox too.
    version: ['--help'],
    trial: ({ url }) => ({ args: ['-O', '/dev/null', '-t', '1', url] }),
    // The server wants a password, or said an error; the others are of the network and of TLS (wget(1), EXIT STATUS).
    answeredBy: [6, 8],
    proxyVariable: 'https_proxy',
    trustVariable: 'WGETRC',
    caution: 'the wget of BusyBox sends no CONNECT: GNU wget or curl does',
  },
  {
    name: 'git',
    program: 'git',
    version: ['--version'],
    trial: ({ url }) => ({ args: ['ls-remote', url], env: { GIT_TERMINAL_PROMPT: '0' } }),
    answered:
      /requested URL returned error|' not found|not valid: is this a git repository|could not read Username|redirect/i,
    proxyVariable: 'HTTPS_PROXY',
    trustVariable: 'GIT_SSL_CAINFO',
    caution: 'http.proxy and http.sslCAInfo of a gitconfig win over variables',
  },
  {
    name: 'node',
    program: 'node',
    trial: ({ url }) => ({ args: ['-e', FETCH(url)] }),
    proxyVariable: 'NODE_USE_ENV_PROXY',
    trustVariable: 'NODE_EXTRA_CA_CERTS',
    caution: 'Node before 22.21, and 24.0 to 24.4, needs the preload in NODE_OPTIONS too',
  },
  {
    name: 'bun',
    program: 'bun',
    trial: ({ url }) => ({ args: ['-e', FETCH(url)] }),
    proxyVariable: 'HTTPS_PROXY',
    trustVariable: 'SSL_CERT_FILE',
  },
  {
    name: 'deno',
    program: 'deno',
    trial: ({ url }) => ({ args: ['eval', FETCH(url)], env: { DENO_NO_UPDATE_CHECK: '1' } }),
    proxyVariable: 'HTTPS_PROXY',
    trustVariable: 'DENO_CERT',
  },
  python('python urllib', 'urllib.request', 'SSL_CERT_FILE', (url) => {
    return `try: print(urllib.request.urlopen(${url}).status)\nexcept urllib.error.HTTPError as answer: print(answer.code)`
  }),
  python('python requests', 'requests', 'REQUESTS_CA_BUNDLE', (url) => `print(requests.get(${url}).status_code)`),
  python('python httpx', 'httpx', 'SSL_CERT_FILE', (url) => `print(httpx.get(${url}).status_code)`),
  {
    ...python('python aiohttp', 'aiohttp', 'SSL_CERT_FILE', (url) => {
      return `import asyncio
async def main():
  async with aiohttp.ClientSession(trust_env=True) as session:
    async with session.get(${url}) as answer: print(answer.status)
asyncio.run(main())`
    }),
    caution: 'it reads the environment only with ClientSession(trust_env=True)',
  },
  {
    name: 'go',
    program: 'go',
    version: ['version'],
    trial: ({ url }) => ({
      args: ['mod', 'download', '-json', `doctor.example/${PACKAGE}@latest`],
      env: { GOPROXY: url, GONOSUMDB: '*', GOFLAGS: '-modcacherw', GOTOOLCHAIN: 'local' },
    }),
    answered: /reading https:[^\n]*: [1-5]\d\d |invalid response from proxy|no matching versions/i,
    proxyVariable: 'HTTPS_PROXY',
    trustVariable: 'SSL_CERT_FILE',
  },
  {
    name: 'ruby',
    program: 'ruby',
    trial: ({ url }) => ({ args: ['-r', 'net/http', '-e', RUBY, url] }),
    proxyVariable: 'RUBYLIB',
    trustVariable: 'SSL_CERT_FILE',
  },
  {
    name: 'php',
    program: 'php',
    trial: ({ url }) => ({
      args: [
        '-r',
        `extension_loaded("curl") || exit(${NOT_INSTALLED});
echo "version ", PHP_VERSION, "\\n";
$curl = curl_init($argv[1]); curl_setopt($curl, CURLOPT_NOBODY, true);
curl_exec($curl) !== false || fwrite(STDERR, curl_error($curl)) && exit(1);`,
        url,
      ],
    }),
    proxyVariable: 'HTTPS_PROXY',
    trustVariable: 'PHP_INI_SCAN_DIR',
  },
  {
    name: 'perl LWP',
    program: 'perl',
    trial: ({ url }) => ({
      args: [
        '-e',
        `eval { require LWP::UserAgent; require LWP::Protocol::https; 1 } or exit ${NOT_INSTALLED};
print "version ", LWP->VERSION, "\\n";
my $answer = LWP::UserAgent->new(max_redirect => 0)->head($ARGV[0]);
print $answer->status_line; exit(($answer->header("Client-Warning") // "") eq "Internal response");`,
        url,
      ],
    }),
    proxyVariable: 'PERL_LWP_ENV_PROXY',
    trustVariable: 'PERL_LWP_SSL_CA_FILE',
  },
  {
    name: 'cargo',
    program: 'cargo',
    version: ['--version'],
    trial: ({ origin }) => ({
      args: ['search', PACKAGE, '--registry', 'doctor'],
      env: { CARGO_REGISTRIES_DOCTOR_INDEX: `sparse+${origin}/`, CARGO_NET_RETRY: '0' },
    }),
    answered:
      /got [1-5]\d\d|HTTP (?:code|status|[1-5]\d\d)|missing field|config\.json` not found|while parsing|at line \d/i,
    proxyVariable: 'HTTPS_PROXY',
    trustVariable: 'CARGO_HTTP_CAINFO',
    caution: 'http.proxy of a cargo configuration wins over variables',
  },
  {
    name: 'uv',
    program: 'uv',
    version: ['--version'],
    trial: ({ url }) => ({
      args: ['pip', 'compile', '--no-cache', '--index-url', url, 'requirements.in'],
      files: { 'requirements.in': `${PACKAGE}\n` },
    }),
    answered: /not found in the package registry|HTTP status (?:client|server) error|no versions of|Unsupported/i,
    proxyVariable: 'HTTPS_PROXY',
    trustVariable: 'SSL_CERT_FILE',
  },
  {
    name: 'gh',
    program: 'gh',
    version: ['--version'],
    trial: ({ host }) => ({
      args: ['api', 'meta'],
      env: { GH_HOST: host, GH_TOKEN: 'none', GH_ENTERPRISE_TOKEN: 'none', GH_NO_UPDATE_NOTIFIER: '1' },
    }),
    answered: /HTTP [1-5]\d\d/,
    proxyVariable: 'HTTPS_PROXY',
    trustVariable: 'SSL_CERT_FILE',
  },
  {
    name: 'npm',
    program: 'npm',
    version: ['--version'],
    trial: ({ url }) => ({
      args: ['view', PACKAGE, `--registry=${url}`, '--fetch-retries=0', '--no-update-notifier'],
    }),
    answered: /\bE[1-5]\d\d\b|invalid json|EJSONPARSE|No versions|ENODATA|EINVALIDREDIRECT/i,
    proxyVariable: 'HTTPS_PROXY',
    trustVariable: 'NODE_EXTRA_CA_CERTS',
    caution: 'https-proxy and cafile of an npmrc win over some variables',
  },
  {
    name: 'pnpm',
    program: 'pnpm',
    version: ['--version'],
    // Not `view`, which version 11 and those before leave to npm. The retries are a variable: the options and files that
    // one version takes stop another.
    trial: ({ url }) => ({
      args: ['install', '--lockfile-only', '--ignore-scripts', `--registry=${url}`],
      env: { CI: '1', npm_config_fetch_retries: '0', pnpm_config_fetch_retries: '0' },
      files: { 'package.json': `{"name":"doctor","private":true,"dependencies":{"${PACKAGE}":"1"}}` },
    }),
    answered:
      /ERR_PNPM_(?:FETCH_[1-5]\d\d|BROKEN_METADATA_JSON|NO_VERSIONS|NO_MATCHING_VERSION)|META_FETCH_FAIL[^\n]*(?:Invalid URL|Redirect location)|Failed to decode metadata/i,
    proxyVariable: 'HTTPS_PROXY',
    trustVariable: 'NODE_EXTRA_CA_CERTS',
    caution: 'version 12 takes the CA from SSL_CERT_FILE',
  },
  {
    name: 'yarn',
    program: 'yarn',
    version: ['--version'],
    // Of a package that no registry has nothing is added; version 1 has no other command in common with the later ones.
    trial: ({ url }) => ({
      args: ['add', PACKAGE],
      // The names of the registry to either; they win over files.
      env: { npm_config_registry: url, YARN_NPM_REGISTRY_SERVER: url },
      files: {
        'package.json': '{"name":"doctor","private":true}',
        'yarn.lock': '',
        '.yarnrc': `registry "${url}"\nignore-scripts true\n--add.non-interactive true\n`,
        '.yarnrc.yml': `npmRegistryServer: "${url}"\nenableScripts: false\nenableTelemetry: false\nhttpRetry: 0\n`,
      },
    }),
    // Not YN0027, which later versions print before every reason, nor YN0001 alone, which is any error.
    answered:
      /Response Code:? [1-5]\d\d|YN0041|Invalid authentication|YN0001: (?:Syntax|Type)Error|Syntax Error: Unexpected|returned invalid data|Couldn't find package|malformed response|returned a [1-5]\d\d|trouble with the npm registry|: Not found/i,
    // Version 1 asks four times more, three seconds apart.
    endedAt: /There appears to be trouble with/,
    proxyVariable: 'YARN_HTTPS_PROXY',
    trustVariable: 'NODE_EXTRA_CA_CERTS',
  },
  {
    name: 'pip',
    program: 'python3',
    trial: ({ url }) => ({
      args: [
        '-c',
        PIP,
        'download',
        '--no-input',
        '--no-deps',
        '--retries',
        '0',
        '--no-cache-dir',
        '--index-url',
        url,
        PACKAGE,
      ],
      env: { PIP_DISABLE_PIP_VERSION_CHECK: '1', PIP_CONFIG_FILE: '/dev/null' },
    }),
    // It says the same of an index without the package and of one that it did not reach, but warns of the latter before.
    answered:
      /^(?![\s\S]*(?:SSLError|ProxyError|Connect\w*Error|Could not fetch|confirming the ssl))[\s\S]*No matching distribution/i,
    proxyVariable: 'HTTPS_PROXY',
    trustVariable: 'PIP_CERT',
  },
  {
    name: 'java',
    program: 'java',
    trial: ({ url }) => ({ args: ['Client.java', url], files: { 'Client.java': JAVA_SOURCE } }),
    proxyVariable: 'JAVA_TOOL_OPTIONS',
    trustVariable: 'JAVA_TOOL_OPTIONS',
    needs: 'a JDK from version 11 on, for it is tried as source',
  },
  {
    name: 'aws',
    program: 'aws',
    version: ['--version'],
    trial: ({ origin }) => ({
      args: ['sts', 'get-caller-identity', '--endpoint-url', origin],
      env: {
        AWS_ACCESS_KEY_ID: 'none',
        AWS_SECRET_ACCESS_KEY: 'none',
        AWS_DEFAULT_REGION: 'us-east-1',
        AWS_MAX_ATTEMPTS: '1',
        AWS_EC2_METADATA_DISABLED: 'true',
      },
    }),
    answered: /An error occurred|Unable to parse response/,
    proxyVariable: 'HTTPS_PROXY',
    trustVariable: 'AWS_CA_BUNDLE',
  },
  {
    name: 'mvn',
    program: 'mvn',
    versionSaid: /Apache Maven (\d\S*)/,
    trial: ({ url }) => ({
      args: ['-q', '-V', '-B', '-s', 'settings.xml', '-Dmaven.repo.local=repository', 'validate'],
      files: { 'settings.xml': mavenSettings(url), 'pom.xml': MAVEN_PROJECT },
    }),
    // What Java says of a certificate or a connection stands in the same line.
    answered:
      /Non-(?:parse|read)able|Could not find artifact|Could not transfer artifact(?![^\n]*(?:PKIX|SSL|TLS|handshake|connect|unknown host|timed out|known))/i,
    proxyVariable: 'JAVA_TOOL_OPTIONS',
    trustVariable: 'JAVA_TOOL_OPTIONS',
  },
  {
    name: 'gradle',
    program: 'gradle',
    trial: ({ url }) => ({
      // No daemon stays behind; the names of the number of attempts, of versions before 5 and since.
      args: ['--no-daemon', '-q', ...GRADLE_ATTEMPTS, 'help'],
      files: { 'settings.gradle': '', 'build.gradle': gradleBuild(url) },
    }),
    // What Java says of a certificate or a connection comes without a status.
    answered:
      /Could not find doctor:doctor|status code [1-5]\d\d|Could not parse POM|not allowed in prolog|ClientProtocolException/i,
    proxyVariable: 'JAVA_TOOL_OPTIONS',
    trustVariable: 'JAVA_TOOL_OPTIONS',
  },
  {
    name: 'gcloud',
    program: 'gcloud',
    version: ['--version'],
    trial: ({ origin }) => ({
      args: ['compute', 'zones', 'list', '--quiet'],
      env: {
        CLOUDSDK_CORE_PROJECT: 'none',
        CLOUDSDK_AUTH_DISABLE_CREDENTIALS: 'true',
        CLOUDSDK_CORE_DISABLE_USAGE_REPORTING: 'true',
        CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK: 'true',
        CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE: `${origin}/compute/v1/`,
      },
    }),
    answered: /JSONDecodeError|HTTPError [1-5]\d\d|response:|code=|Some requests did not succeed/i,
    proxyVariable: 'HTTPS_PROXY',
    trustVariable: 'CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE',
  },
]

/** A client that is only looked for. */
export interface UntriedClient extends Pick<Client, 'name' | 'program'> {
  readonly reason: string
}

/** Those that are found and not tried. */
export const UNTRIED_CLIENTS: readonly UntriedClient[] = [
  {
    name: 'dotnet',
    program: 'dotnet',
    // https://learn.microsoft.com/dotnet/api/system.net.http.httpclient.defaultproxy, and pal_x509_root.c of its runtime.
    reason: 'installed; there is no trial for it: it reads HTTPS_PROXY and SSL_CERT_FILE',
  },
]

/** What they are called where one is asked for. */
export const CLIENT_NAMES: readonly string[] = [...CLIENTS, ...UNTRIED_CLIENTS].map(({ name }) => name)
