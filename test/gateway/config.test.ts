// The config file: what is read from it, and how it is said what is wrong with it.

import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { inspect } from 'node:util'
import {
  applyRule,
  checkGatewayConfig,
  createCertificateAuthority,
  GatewayConfigError,
  hashToken,
  issueServerCertificate,
  loadGatewayConfig,
  parseGatewayConfig,
} from 'ccr-upstream-gateway'
import { type Authority, parseAuthority } from 'ccr-upstream-proxy/protocol'
import '../support/watched-process.js'

const folder = mkdtempSync(join(tmpdir(), 'gateway-config-'))
after(() => rmSync(folder, { recursive: true }))

const authority = await createCertificateAuthority()
const server = await issueServerCertificate(authority, ['localhost'])
const FILES: Record<string, string> = {
  'ca.pem': authority.certificatePem,
  'ca.key': authority.privateKeyPem(),
  'server.pem': server.certificatePem,
  'server.key': server.privateKeyPem,
  'token.txt': 'the-token\n',
  'key.txt': 'file-secret\n',
  'two-lines.txt': 'one\ntwo\n',
  'empty.txt': '',
  'blank.txt': 'two words\n',
}
for (const [name, content] of Object.entries(FILES)) writeFileSync(join(folder, name), content)

const HASH = 'ab'.repeat(32)
const BASE = `ca: { certificate: ca.pem, key: ca.key }\nsessions:\n  - { id: session, tokenSha256: "${HASH}" }\n`
const ENV = { API_KEY: 'env-secret', EMPTY: '', BROKEN: 'a\r\nX-Evil: 1', TOKEN: 'the-token' }

const parse = (text: string) => parseGatewayConfig(text, { file: 'gateway.yaml', env: ENV, baseDir: folder })

function rejected(text: string): GatewayConfigError {
  try {
    parse(text)
  } catch (error) {
    if (error instanceof GatewayConfigError) return error
    throw error
  }
  return assert.fail('the config was accepted')
}

test('fills in the defaults', () => {
  const config = parse(BASE)
  assert.equal(config.default, 'allow')
  assert.deepEqual(config.listen, { host: '127.0.0.1', port: 8443 })
  assert.deepEqual(config.paths, {
    tunnel: '/upstreamproxy/ws',
    caCertificate: '/upstreamproxy/ca-cert',
    health: '/healthz',
  })
  assert.equal(config.audit, 'stdout')
  assert.deepEqual(config.upstream.allowPorts, [443])
  assert.equal(config.hosts.size, 0)
  assert.deepEqual(config.limits, { tunnels: 4_096, concurrentRequests: 1_024, requestsPerMinute: undefined })
})

test('what a policy says of limits wins, one by one, over the top level and the defaults', () => {
  const limits = (keys: string) =>
    parse(`${BASE}${keys}policies: { p: { limits: { tunnels: 7 } } }
jwt: [{ issuer: i, audience: a, jwks: "https://i.example/", policy: p }]
`).jwt[0]?.policy?.limits
  assert.deepEqual(limits(''), { tunnels: 7, concurrentRequests: 1_024, requestsPerMinute: undefined })
  const top = 'limits: { tunnels: 5, concurrentRequests: 6, requestsPerMinute: 8 }\n'
  assert.deepEqual(limits(top), { tunnels: 7, concurrentRequests: 6, requestsPerMinute: 8 })
})

test('takes secrets from the environment and from files, $$ is a dollar sign', async () => {
  const config = parse(`${BASE}hosts:
  API.example.com.:
    - transform:
        - headers: { Authorization: "Bearer \${env:API_KEY}", x-two: "\${file:key.txt}$$\${env:API_KEY}" }
`)
  const head = { method: 'GET', target: '/', authority: parseAuthority('api.example.com:443') as Authority, fields: [] }
  const { fields } = await applyRule(head, config.hosts.get('api.example.com')?.[0])
  assert.deepEqual(fields, ['Authorization', 'Bearer env-secret', 'x-two', 'file-secret$env-secret'])
})

test('a token is kept only as a hash, wherever it comes from', () => {
  const config = parse(BASE.replace(`tokenSha256: "${HASH}"`, 'tokenFile: token.txt'))
  assert.deepEqual(config.sessions, [{ id: 'session', tokenSha256: hashToken('the-token') }])
  assert.deepEqual(parse(BASE.replace(`tokenSha256: "${HASH}"`, 'tokenEnv: TOKEN')).sessions, config.sessions)
})

test('a config that is printed shows no secret', () => {
  const config = parse(`${BASE}hosts: { a.example: [{ transform: [{ headers: { x: "\${env:API_KEY}" } }] }] }`)
  const keyLine = authority.privateKeyPem().split('\n')[1] as string
  for (const printed of [inspect(config, { depth: 9 }), JSON.stringify(config)]) {
    assert.ok(!printed.includes('env-secret'))
    assert.ok(!printed.includes(keyLine))
  }
})

test('a secret is not in what it is joined to', () => {
  const { forward } = parse(`${BASE}forward: { proxy: "http://a:1", user: u, password: "\${env:API_KEY}" }`)
  const password = forward?.credential?.password
  assert.equal(password?.reveal(), 'env-secret')
  assert.equal(`${password} ${JSON.stringify({ password })}`, '[secret] {"password":"[secret]"}')
})

test('reads JSON, also indented with tabs', () => {
  const json = { ca: { certificate: 'ca.pem', key: 'ca.key' }, sessions: [{ id: 's', tokenSha256: HASH }] }
  assert.equal(parse(JSON.stringify(json, null, '\t')).sessions[0]?.id, 's')
})

const WRONG: [string, string][] = [
  [`defualt: deny\n${BASE}`, 'gateway.yaml:1: defualt: is not a known key'],
  [`default: maybe\n${BASE}`, 'gateway.yaml:1: default: must be allow or deny'],
  [`${BASE}listen: 8443\n`, 'gateway.yaml:4: listen: must be text (quote it if it looks like a number)'],
  [`${BASE}listen: a:b\n`, 'gateway.yaml:4: listen: must be host:port, such as 127.0.0.1:8443 or [::1]:0'],
  [
    `${BASE}listen: 0.0.0.0:8443\n`,
    'gateway.yaml:4: listen: without tls the gateway listens on loopback only: the session token would be in clear',
  ],
  [`sessions: []\n`, 'gateway.yaml:1: ca: is missing'],
  [BASE.replace('id: session', 'id: "a:b"'), 'gateway.yaml:3: sessions[0].id: must be 1 to 128'],
  [BASE.replace(HASH, 'abc'), 'gateway.yaml:3: sessions[0].tokenSha256: must be 64 hex digits'],
  [BASE.replace(/, tokenSha256: "[a-f0-9]+"/, ''), 'gateway.yaml:3: sessions[0]: must have exactly one of'],
  [
    BASE.replace(`tokenSha256: "${HASH}"`, 'tokenFile: none.txt'),
    `sessions[0].tokenFile: the file ${folder}/none.txt does not exist`,
  ],
  [BASE.replace(`tokenSha256: "${HASH}"`, 'tokenFile: blank.txt'), 'sessions[0].tokenFile: must hold one token'],
  [BASE.replace(`tokenSha256: "${HASH}"`, 'tokenEnv: NONE'), 'the environment variable NONE is not set'],
  [`${BASE}  - { id: b, tokenSha256: "${HASH}" }\n`, 'gateway.yaml:4: sessions[1]: has the token of another session'],
  [BASE.replace('key: ca.key', 'key: none.key'), `gateway.yaml:1: ca.key: the file ${folder}/none.key does not exist`],
  [
    `${BASE}upstream:\n  allowAddresses: [10.0.0.0/33]\n`,
    'gateway.yaml:5: upstream.allowAddresses[0]: must be an address or a prefix',
  ],
  [`${BASE}upstream:\n  allowPorts: [0]\n`, 'gateway.yaml:5: upstream.allowPorts[0]: must be a port'],
  [`${BASE}upstream:\n  connectTo: { "a.example": "b:1" }\n`, 'upstream.connectTo."a.example": must be host:port'],
  [`${BASE}upstream:\n  caFiles: [key.txt]\n`, 'gateway.yaml:5: upstream.caFiles[0]: must be a PEM file'],
  [
    `${BASE}hosts:\n  "*.*.com": []\n`,
    'gateway.yaml:5: hosts."*.*.com": must be a host name, *.name or an address, :port may follow',
  ],
  [
    `${BASE}hosts:\n  A.example: []\n  a.example: []\n`,
    'gateway.yaml:6: hosts."a.example": is here twice, in two spellings',
  ],
  [`${BASE}hosts:\n  a.example: []\n  a.example: []\n`, 'gateway.yaml:6: is not valid YAML or JSON (duplicate key)'],
  [
    `${BASE}hosts:\n  a.example:\n    - match: { path: v1 }\n`,
    'gateway.yaml:6: hosts."a.example"[0].match.path: must begin with /',
  ],
  ...[
    '/v1?x',
    '/a/../b',
    '/a/%2e',
    '//a',
    '/a//',
    '/a%2Fb',
    '/a%5cb',
    '/a;b',
    '/a%253b',
    '/100%',
    '/%C0%AF',
    '/a%3Fb',
  ].map((path): [string, string] => [
    `${BASE}hosts:\n  a.example:\n    - match:\n        path: "${path}"\n`,
    'gateway.yaml:7: hosts."a.example"[0].match.path: must be plain: no query, no empty or dot segment',
  ]),
  [
    `${BASE}hosts:\n  a.example:\n    - match: { method: [get, trace] }\n`,
    'gateway.yaml:6: hosts."a.example"[0].match.method[1]: is never forwarded',
  ],
  [
    `${BASE}hosts:\n  a.example:\n    - match: { method: [GET, "a b"] }\n`,
    'gateway.yaml:6: hosts."a.example"[0].match.method[1]: must be an HTTP method',
  ],
  [
    `${BASE}hosts:\n  a.example:\n    - match: { method: [] }\n`,
    'gateway.yaml:6: hosts."a.example"[0].match.method: must be an HTTP method or a list of them',
  ],
  [
    `${BASE}jwt: [{ issuer: i, audience: a, jwks: "http://keys.example/" }]\n`,
    'gateway.yaml:4: jwt[0].jwks: must be an https://',
  ],
  [
    `${BASE}jwt: [{ issuer: i, audience: a, jwks: key.txt }]\n`,
    'gateway.yaml:4: jwt[0].jwks: must be a JSON Web Key Set',
  ],
  [
    `${BASE}jwt: [{ issuer: i, audience: a, jwks: key.txt, algorithms: [HS256] }]\n`,
    'gateway.yaml:4: jwt[0].algorithms[0]: must be one of EdDSA',
  ],
  [
    BASE.replace('id: session', 'id: s, policy: none'),
    'gateway.yaml:3: sessions[0].policy: must be a name under policies',
  ],
  [BASE.replace('id: session', 'id: s, expires: soon'), 'gateway.yaml:3: sessions[0].expires: must be a time such as'],
  ['ca: { certificate: ca.pem, key: ca.key }\n', 'gateway.yaml:1: sessions: must have at least one session'],
  [BASE.replace(', key: ca.key', ''), 'gateway.yaml:1: ca.key: is missing'],
  [`${BASE}forward: ftp://a\n`, 'gateway.yaml:4: forward.proxy: must be http://host:port'],
  [
    `${BASE}forward: http://a:1\nhosts: { a.example: [] }\n`,
    'gateway.yaml:4: forward: leaves the requests to that proxy',
  ],
  [`${BASE}secrets:\n  a: { env: NONE }\n`, 'gateway.yaml:5: secrets.a: the environment variable NONE is not set'],
  [`${BASE}secrets:\n  a: { command: [x] }\n`, 'gateway.yaml:5: secrets.a.ttlSeconds: ttlSeconds belongs to a command'],
  [`${BASE}secrets:\n  a: {}\n`, 'gateway.yaml:5: secrets.a: must have exactly one of env, file, command'],
  [`${BASE}limits: { concurrentRequests: 0 }\n`, 'gateway.yaml:4: limits.concurrentRequests: must be at least 1'],
  [`${BASE}limits: { tunnels: 0 }\n`, 'gateway.yaml:4: limits.tunnels: must be at least 1'],
  [`${BASE}admin: { listen: x }\n`, 'gateway.yaml:4: admin.listen: must be host:port'],
  [`${BASE}deny: ["a b"]\n`, 'gateway.yaml:4: deny[0]: must be a host name'],
  [
    `${BASE}hosts:\n  a.example:\n    - transform: [{ placeholders: { short: x } }]\n`,
    'hosts."a.example"[0].transform[0].placeholders.short: must be 8 to 256',
  ],
  [
    `${BASE}hosts:\n  a.example:\n    - transform: [{ headers: { x: { barer: x } } }]\n`,
    'hosts."a.example"[0].transform[0].headers.x: must be text, { bearer }',
  ],
  [`${BASE}hosts:\n  a.example:\n    - mtach: {}\n`, 'gateway.yaml:6: hosts."a.example"[0].mtach: is not a known key'],
]

test('says file, line, key and what is allowed', () => {
  for (const [text, expected] of WRONG)
    assert.ok(rejected(text).message.includes(expected), `${expected}\n${rejected(text).message}`)
})

test('reports everything that is wrong at once', () => {
  const { problems } = rejected(`default: x\nlisten: y\n${BASE}`)
  assert.deepEqual(
    problems.map(({ line, path }) => [line, path.join('.')]),
    [
      [1, 'default'],
      [2, 'listen'],
    ],
  )
})

const header = (name: string, value: string) =>
  `${BASE}hosts:\n  a.example:\n    - transform:\n        - headers:\n            ${name}: "${value}"\n`

const WRONG_HEADERS: [string, string, string][] = [
  ['x-key', `\${env:NONE}`, 'the environment variable NONE is not set'],
  ['x-key', `\${env:EMPTY}`, 'the environment variable EMPTY is empty'],
  ['x-key', `\${file:none.txt}`, 'does not exist'],
  ['x-key', `\${file:empty.txt}`, 'is empty'],
  ['x-key', `\${exec:id}`, `a reference is \${env:NAME}, \${file:path} or \${secret:name}`],
  ['x-key', 'costs $5', 'a single $ is written $$'],
  ['x-key', `\${env:BROKEN}`, 'gives a value that no header may have'],
  ['x-key', `\${file:two-lines.txt}`, 'gives a value that no header may have'],
  ['x-key', 'schlüssel', 'gives a value that no header may have'],
  ['Host', 'b.example', "is the gateway's own and cannot be set by a rule"],
  ['transfer-encoding', 'chunked', "is the gateway's own and cannot be set by a rule"],
  ['a b', 'c', 'must be a header name'],
]

test('a header that cannot be set is an error at its line, without its value', () => {
  for (const [name, value, expected] of WRONG_HEADERS) {
    const { message } = rejected(header(name, value))
    assert.ok(message.startsWith('gateway.yaml:8: hosts."a.example"[0].transform[0].headers.'), message)
    assert.ok(message.includes(expected), message)
    assert.ok(!message.includes('X-Evil') && !message.includes('schlüssel'), message)
  }
})

test('a header that a rule sets twice is an error', () => {
  const text = `${header('x-key', 'a')}            X_Key: b\n`
  assert.match(rejected(text).message, /^gateway\.yaml:9: .*X_Key: is set twice by this rule$/)
})

test('a file that is no YAML is an error without its text', () => {
  const { message } = rejected('default: allow\nsecret: "hunter2\n')
  assert.match(message, /^gateway\.yaml:\d+: is not valid YAML or JSON \([a-z ]+\)$/)
  assert.ok(!message.includes('hunter2'))
})

test('a file that is not there is an error', () => {
  assert.throws(() => loadGatewayConfig(join(folder, 'none.yaml'), {}), /none\.yaml:1: the file does not exist/)
})

test('a CA that cannot sign, and a key of another certificate, are found without listening', async () => {
  await assert.rejects(checkGatewayConfig(parse(BASE.replace('ca.pem', 'server.pem'))), {
    key: 'ca',
    message: 'is no certificate authority (basicConstraints has no CA:TRUE)',
  })
  await assert.rejects(checkGatewayConfig(parse(BASE.replace('ca.key', 'server.key'))), {
    key: 'ca',
    message: 'does not belong to the private key',
  })
  await assert.rejects(checkGatewayConfig(parse(BASE.replace('ca.key', 'key.txt'))), { key: 'ca' })
  await assert.rejects(checkGatewayConfig(parse(`${BASE}tls: { certificate: server.pem, key: ca.key }\n`)), {
    key: 'tls',
  })
  await checkGatewayConfig(parse(`${BASE}tls: { certificate: server.pem, key: server.key }\nlisten: 0.0.0.0:1\n`))
})

test('the example config is good', () => {
  const file = new URL('../../../gateway/config.example.yaml', import.meta.url)
  const env = { EXAMPLE_API_KEY: 'x', EXAMPLE_GIT_TOKEN: 'y' }
  const text = readFileSync(file, 'utf8')
  const config = parseGatewayConfig(text, { file: 'config.example.yaml', env, baseDir: folder })
  assert.deepEqual([...config.hosts.keys()], ['api.example.com', '*.git.example.com', 'models.example.com:443'])
})
