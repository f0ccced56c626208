// Programs as they come, each doing the same directly and through relay and gateway: what they and their origins see must not
// differ. What they are run with is in real-clients/.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { AuditRecord } from 'ccr-upstream-gateway'
import { isInstalled } from '../support/cli-process.js'
import { listen } from '../support/listening.js'
import { originCa, startOrigin } from '../support/origin.js'
import { startProgram } from '../support/program.js'
import { INJECTION, SECRET } from '../support/system.js'
import { createTempDirectory, SharedScope } from '../support/temp-dir.js'
import { createTestCa } from '../support/test-ca.js'
import { buildGo } from './real-clients/build-go.js'
import { startNginx } from './real-clients/nginx.js'
import { s3Store } from './real-clients/s3-origin.js'
import { slowClock } from './real-clients/slow-clock.js'
import { startWays } from './real-clients/ways.js'
import '../support/watched-process.js'

const HOST = 'origin.example.test'
const OTHER_HOST = 'other.example.test'
/** Debian's, which has Debian's packages. */
const PYTHON = '/usr/bin/python3'
/** Only for what hangs: a build, two ways, and a busy machine. */
const TIMEOUT_MS = 1_800_000
/** A rule that the origin does not mind: the request is intercepted, and stays what its client has signed. */
const HARMLESS = [{ transform: [{ headers: { 'x-added': 'by the gateway' } }] }]
/** How long a stream is busy; with CCR_TEST_LARGE=1 as long as a release is held to. */
const BUSY_SECONDS = process.env.CCR_TEST_LARGE === '1' ? 30 : 10
/** The same directly, to compare the rates. */
const CONTROL_SECONDS = 3
/**
 * How many times slower the gateway may be. Beside the control it has two TLS, a WebSocket and HTTP/2 in JavaScript to do: a third
 * of the rate was seen. A stream that waits for windows or is cut off now and then has a hundredth.
 */
const MAX_SLOWDOWN = 20
/** More than the gateway grants for nothing: they are only no abuse because of the work that stands against them. */
const PINGS = 1_500

const certificate = await originCa.serverCertificate(HOST, OTHER_HOST)
const sourceFile = (name: string) => fileURLToPath(new URL(`../../gateway/real-clients/${name}`, import.meta.url))

const setup = new SharedScope()
const skipUnless = async (debianPackages: string, ...questions: [string, ...string[]][]) => {
  const answers = await Promise.all(questions.map(([program, ...args]) => isInstalled(setup, program, ...args)))
  return answers.every((isThere) => isThere) ? false : `not installed (Debian: ${debianPackages})`
}
const GRPC = 'google.golang.org/grpc'
const [noGo, noGrpc, noHvac, noBoto3, noNginx, noFaketime, noJava] = await Promise.all([
  skipUnless('golang-go nginx-light', ['go', 'version'], ['/usr/sbin/nginx', '-v']),
  skipUnless('golang-go golang-google-grpc-dev', ['go', 'version'], ['ls', `/usr/share/gocode/src/${GRPC}`]),
  skipUnless('python3-hvac', [PYTHON, '-c', 'import hvac']),
  skipUnless('python3-boto3', [PYTHON, '-c', 'import boto3']),
  skipUnless('curl nginx-light', ['curl'], ['/usr/sbin/nginx', '-v']),
  skipUnless('faketime curl openssl python3', ['faketime'], ['curl'], ['openssl', 'version'], [PYTHON]),
  skipUnless('default-jdk-headless', ['javac']),
])
await setup.end()

/** Every request was intercepted, and none failed. */
function assertIntercepted(audit: readonly AuditRecord[], count: number, status = 200): void {
  const outcomes = audit.map((record) =>
    record.mode === 'intercept' ? `${record.status} ${record.error}` : record.mode,
  )
  assert.deepEqual(outcomes, Array(count).fill(`${status} undefined`))
}

test('grpc-go is busy for as long as it likes, with more pings than any idle client may send', {
  skip: noGrpc,
  timeout: TIMEOUT_MS,
}, async (context) => {
  const program = await buildGo(context, sourceFile('grpc-echo.go'))
  const { both, audit } = await startWays(context, {
    origins: { [HOST]: await startGrpcEcho(context, program) },
    hosts: { [HOST]: INJECTION },
  })
  const rates: number[] = []
  for (const way of both) {
    const seconds = way.name === 'directly' ? CONTROL_SECONDS : BUSY_SECONDS
    const atFullRate = grpcWork(await way.run(program, 'chat', HOST, '1000', String(seconds), '0'))
    const inTurn = grpcWork(await way.run(program, 'chat', HOST, '1', '1', String(PINGS)))
    assert.ok(atFullRate.seconds >= seconds && inTurn.pings >= PINGS)
    const rate = Math.round(atFullRate.messages / atFullRate.seconds)
    context.diagnostic(`${way.name}: ${rate} messages/s, and ${inTurn.pings} pings in ${inTurn.seconds} s`)
    rates.push(rate)
  }
  const [direct = 0, through = 0] = rates
  assert.ok(through > direct / MAX_SLOWDOWN, `${through} messages/s in place of ${direct}`)
  assertIntercepted(audit, 8)
})

/** What the client of grpc-echo.go prints. */
function grpcWork(json: string): { messages: number; pings: number; seconds: number } {
  return JSON.parse(json)
}

async function startGrpcEcho(context: TestContext, program: string): Promise<string> {
  const folder = createTempDirectory(context, 'grpc')
  writeFileSync(join(folder, 'cert.pem'), certificate.cert)
  writeFileSync(join(folder, 'key.pem'), certificate.key, { mode: 0o600 })
  const { match } = await startProgram(context, [program, 'serve', 'cert.pem', 'key.pem'], {
    cwd: folder,
    ready: /^port (\d+)$/m,
    env: { API_TOKEN: SECRET },
  })
  return `127.0.0.1:${match[1]}`
}

test('hvac lists secrets by the method LIST, and the request is the same field by field', {
  skip: noHvac,
  timeout: TIMEOUT_MS,
}, async (context) => {
  const heads: string[][] = []
  const body = '{"data":{"keys":["one","two/"]}}'
  const answer = `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  const origin = await startOrigin(context, {
    protocol: 'raw',
    certificate,
    handler: async (connection) => {
      const head = await connection.takeUntil('\r\n\r\n')
      heads.push(head.trim().toLowerCase().split('\r\n').sort())
      connection.write(answer)
    },
  })
  const { both, audit } = await startWays(context, {
    origins: { [HOST]: origin.address },
    hosts: { [HOST]: [{ transform: [{ headers: { 'x-vault-token': `\${env:API_SECRET}` } }] }] },
  })
  for (const way of both) {
    assert.equal(await way.run(PYTHON, sourceFile('vault-client.py'), `https://${HOST}`), "['one', 'two/']\n")
  }
  const [direct = [], through] = heads
  assert.ok(direct.includes('list /v1/secret/metadata/team http/1.1') && direct.includes(`x-vault-token: ${SECRET}`))
  assert.deepEqual(through, direct)
  assertIntercepted(audit, 1)
})

test("boto3's signatures stay valid, whatever its endpoint is called", {
  skip: noBoto3,
  timeout: TIMEOUT_MS,
}, async (context) => {
  const origin = await startOrigin(context, { certificate, handler: s3Store('example-secret-key') })
  const { both, audit } = await startWays(context, {
    origins: { [HOST]: origin.address, [`${HOST}:8443`]: origin.address },
    allowPorts: [8443],
    hosts: { [HOST]: HARMLESS },
  })
  const endpoints = [
    ...[`https://${HOST}`, `https://${HOST}:443`, `https://${HOST}:8443`, 'https://Origin.Example.TEST:8443'],
    ...['ORIGIN.example.Test', `${HOST}:443`, `${HOST}.`].map((host) => `https://${HOST}=${host}`),
  ]
  const done = endpoints.map((endpoint) => `done ${endpoint}\n`).join('')
  for (const way of both) assert.equal(await way.run(PYTHON, sourceFile('s3-client.py'), ...endpoints), done)
  assertIntercepted(audit, endpoints.length * 3)
})

test("curl makes, moves and deletes collections of nginx's WebDAV", {
  skip: noNginx,
  timeout: TIMEOUT_MS,
}, async (context) => {
  const settings = ['root files;', 'dav_methods PUT DELETE MKCOL COPY MOVE;']
  const { both, audit } = await startWays(context, {
    origins: {
      [HOST]: await startNginx(context, certificate, 'http1', settings),
      [OTHER_HOST]: await startNginx(context, certificate, 'http2', settings),
    },
    hosts: { [HOST]: HARMLESS, [OTHER_HOST]: HARMLESS },
  })
  for (const host of [HOST, OTHER_HOST]) {
    for (const version of ['--http1.1', '--http2']) {
      for (const way of both) {
        const statuses = await way.run('curl', '-sS', ...davRequests(version, `https://${host}`))
        // What there is already is 405; nginx takes a collection with a body for 415, and an empty body in chunks too.
        assert.equal(statuses, '201 405 201 201 204 415 204 ', `${way.name}, ${version} to ${host}`)
      }
    }
  }
  const statuses = audit.map((record) => record.mode === 'intercept' && record.status)
  assert.deepEqual(statuses, Array(4).fill([201, 405, 201, 201, 204, 415, 204]).flat())
})

function davRequests(version: string, url: string): string[] {
  const requests: [method: string, path: string, ...args: string[]][] = [
    ['MKCOL', '/one/'],
    ['MKCOL', '/one/'],
    ['PUT', '/one/file', '-d', 'text'],
    ['MOVE', '/one/', '-H', `Destination: ${url}/two/`],
    ['COPY', '/two/file', '-H', 'Destination: /two/copy', '-H', 'Overwrite: F'],
    ['MKCOL', '/two/three/', '-d', '<body/>'],
    ['DELETE', '/two/'],
  ]
  const always = [version, '-o', '/dev/null', '-w', '%{http_code} ']
  return requests
    .flatMap(([method, path, ...args]) => ['--next', '-sS', ...always, '-X', method, ...args, `${url}${path}`])
    .slice(1)
}

// At once, for directly Go waits most of the time: before each further try twice as long as before the last.
test('Go has 120 POSTs at once answered by an nginx that takes 10 a connection, each of them once', {
  skip: noGo,
  timeout: TIMEOUT_MS,
  concurrency: true,
}, async (context) => {
  const program = await buildGo(context, sourceFile('posts.go'))
  const sizes = [10, 100_000]
  await Promise.all(sizes.map((bytes) => context.test(`of ${bytes} bytes`, (each) => posts(each, program, bytes))))
})

async function posts(context: TestContext, program: string, bytes: number): Promise<void> {
  const seen: string[] = []
  const server = createServer(async (request, response) => {
    let received = 0
    for await (const piece of request) received += (piece as Buffer).length
    seen.push(`${request.method} ${request.url} ${received}`)
    response.end(request.url)
  })
  const { address } = await listen(context, server)
  const settings = ['keepalive_requests 10;', `location / { proxy_pass http://${address}; }`]
  const { both, audit } = await startWays(context, {
    origins: { [HOST]: await startNginx(context, certificate, 'http2', settings) },
    hosts: { [HOST]: HARMLESS },
  })
  const paths = Array.from({ length: 120 }, (_, index) => `/${index + 1}`)
  for (const way of both) {
    const lines = (await way.run(program, `https://${HOST}`, '120', String(bytes))).trim().split('\n')
    assert.deepEqual(lines.sort(), paths.map((path) => `HTTP/2.0 200 ${path}`).sort(), way.name)
    assert.deepEqual(seen.splice(0).sort(), paths.map((path) => `POST ${path} ${bytes}`).sort(), way.name)
  }
  // Those that the client got back unanswered, and sent again.
  const givenBack = audit.filter((record) => record.mode === 'intercept' && record.status === 0)
  context.diagnostic(`${givenBack.length} were given back to the client`)
  assertIntercepted(
    audit.filter((record) => !givenBack.includes(record)),
    120,
  )
}

test('a container whose clock is 30 days slow trusts the gateway: its relay, curl, openssl and Python', {
  skip: noFaketime,
  timeout: TIMEOUT_MS,
}, async (context) => {
  const origin = await startOrigin(context, {
    certificate,
    handler: (_request, response) => response.end('the answer'),
  })
  const { both, audit } = await startWays(context, {
    origins: { [HOST]: origin.address },
    hosts: { [HOST]: HARMLESS },
    env: await slowClock(context, 30),
  })
  const url = `https://${HOST}/`
  for (const way of both) {
    const now = Number(await way.run('date', '+%s'))
    assert.ok(Date.now() / 1_000 - now > 29 * 86_400, 'the clock is slow')
    assert.equal(await way.run('curl', '-sS', '--fail', url), 'the answer')
    const script = `import urllib.request; print(urllib.request.urlopen('${url}').read().decode())`
    assert.equal(await way.run(PYTHON, '-c', script), 'the answer\n')
    const openssl = `openssl s_client -proxy "\${HTTPS_PROXY#http://}" -connect ${HOST}:443 -servername ${HOST}`
    const said = await way.run('sh', '-c', `${openssl} -verify_return_error -verify_hostname ${HOST}`)
    assert.match(said, /Verify return code: 0 \(ok\)/)
  }
  assertIntercepted(audit, 2)
})

/** For each the roots of gateway and origin have keys that it can verify. */
const RSA_JAVAS = {
  'Java that has suites of RSA only gets an RSA certificate': {
    keyType: 'ecdsa',
    options: [
      '-Djdk.tls.client.protocols=TLSv1.2',
      '-Djdk.tls.client.cipherSuites=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,TLS_RSA_WITH_AES_128_GCM_SHA256',
    ],
  },
  'Java that verifies signatures of RSA only trusts a gateway whose CA has an RSA key': {
    keyType: 'rsa',
    options: ['-Djdk.tls.client.SignatureSchemes=rsa_pss_rsae_sha256,rsa_pkcs1_sha256'],
  },
} as const
for (const [title, { keyType, options }] of Object.entries(RSA_JAVAS)) {
  test(title, { skip: noJava, timeout: TIMEOUT_MS }, async (context) => {
    const roots = await createTestCa('public root', { keyType })
    const origin = await startOrigin(context, {
      certificate: await roots.rsaCertificate(HOST),
      handler: (_request, response) => response.end('the answer'),
    })
    const { both, audit } = await startWays(context, {
      publicCa: roots,
      interceptionCa: await createTestCa('interception root', { keyType }),
      origins: { [HOST]: origin.address },
      hosts: { [HOST]: HARMLESS },
    })
    for (const way of both) {
      const said = await way.run('java', ...options, sourceFile('TlsClient.java'), `https://${HOST}/`)
      assert.equal(said, 'RSA the answer\n', way.name)
    }
    assertIntercepted(audit, 1)
  })
}
