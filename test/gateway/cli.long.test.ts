// The command line, run as a program.

import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { hashToken } from 'ccr-upstream-gateway'
import { originCa, startOrigin } from '../support/origin.js'
import { requestOver, responseOf, textOf } from './fixture.js'
import { GATEWAY_CLI } from './gateway-program.js'
import { connect, startTls } from './wire-client.js'

interface Run {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

function start(args: readonly string[], env: Record<string, string> = {}): ChildProcess {
  return spawn(process.execPath, [GATEWAY_CLI, ...args], { env: { PATH: process.env.PATH, ...env }, stdio: 'pipe' })
}

async function run(args: readonly string[], input = ''): Promise<Run> {
  const child = start(args)
  let [stdout, stderr] = ['', '']
  child.stdout?.on('data', (text) => {
    stdout += text
  })
  child.stderr?.on('data', (text) => {
    stderr += text
  })
  child.stdin?.end(input)
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, stdout, stderr }
}

async function temporaryFolder(context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'gateway-cli-'))
  context.after(() => rm(folder, { recursive: true }))
  return folder
}

const mode = async (file: string) => ((await stat(file)).mode & 0o777).toString(8)

test('--help and --version answer on stdout and exit 0', async () => {
  for (const args of [
    ['--help'],
    ['serve', '--help'],
    ['check', '-h'],
    ['token', '--help'],
    ['ca', '--help'],
    ['ca', 'init', '--help'],
  ]) {
    const { code, stdout, stderr } = await run(args)
    assert.equal(code, 0, args.join(' '))
    assert.match(stdout, /ccr-upstream-gateway/)
    assert.equal(stderr, '')
  }
  const { version } = JSON.parse(await readFile(new URL('../../../gateway/package.json', import.meta.url), 'utf8'))
  assert.equal((await run(['--version'])).stdout, `${version}\n`)
})

test('wrong usage exits 2 with a hint, and prints nothing on stdout', async () => {
  const wrong = [
    [],
    ['bogus'],
    ['constructor'],
    ['serve'],
    ['serve', '--bogus'],
    ['serve', 'file.yaml'],
    ['check'],
    ['token'],
    ['token', 'new', '--session', 'a:b'],
    ['ca'],
    ['ca', 'init'],
    ['ca', 'init', '--out', 'x', '--days', '0'],
    ['ca', 'init', '--out', 'x', '--days', '1e3'],
    ['ca', 'server', '--ca', 'x', '--out', 'x'],
    ['ca', 'server', '--ca', 'x', '--out', 'x', '--name', 'a b'],
  ]
  for (const args of wrong) {
    const { code, stdout, stderr } = await run(args)
    assert.equal(code, 2, args.join(' '))
    assert.equal(stdout, '')
    assert.match(stderr, /\nhint: ccr-upstream-gateway .*--help shows what there is\n$/)
  }
})

test('token new prints the token on stdout and its hash for the config on stderr', async () => {
  const { code, stdout, stderr } = await run(['token', 'new', '--session', 'team-1'])
  const token = stdout.trimEnd()
  assert.equal(code, 0)
  assert.match(token, /^ccr_[A-Za-z0-9_-]{43}$/)
  assert.ok(stderr.includes(`- id: "team-1"\n    tokenSha256: "${hashToken(token)}"`))
  assert.ok(!stderr.includes(token))
  assert.notEqual((await run(['token', 'new'])).stdout, stdout)
})

test('token hash reads one token from stdin', async () => {
  for (const input of ['the-token', 'the-token\n', 'the-token\r\n']) {
    const { code, stdout } = await run(['token', 'hash'], input)
    assert.equal(code, 0)
    assert.equal(stdout, `${hashToken('the-token')}\n`)
  }
  for (const input of ['', '\n', 'two words', 'two\nlines\n', 'x'.repeat(70_000)]) {
    const { code, stdout, stderr } = await run(['token', 'hash'], input)
    assert.equal(code, 1)
    assert.equal(stdout, '')
    assert.ok(!stderr.includes('two'))
  }
})

test('a pipe where a file is expected keeps no command waiting', async (context) => {
  const folder = await temporaryFolder(context)
  const pipe = join(folder, 'pipe')
  assert.equal(spawnSync('mkfifo', [pipe]).status, 0)
  const config = join(folder, 'gateway.yaml')
  await writeFile(config, 'listen: 127.0.0.1:0\nca: { certificate: pipe, key: pipe }\n')
  for (const args of [
    ['check', '--config', pipe],
    ['serve', '--config', pipe],
    ['check', '--config', config],
    ['ca', 'server', '--ca', folder, '--name', 'localhost', '--out', join(folder, 'out')],
  ]) {
    if (args[0] === 'ca') spawnSync('ln', ['-s', 'pipe', join(folder, 'ca.pem')])
    const { code, stderr } = await run(args)
    assert.equal(code, 1, `${args}: ${stderr}`)
    assert.match(stderr, /is a pipe, and no regular file/)
  }
})

test('ca init writes a key that only its owner reads, and replaces nothing unasked', async (context) => {
  const folder = await temporaryFolder(context)
  const out = join(folder, 'made', 'here')
  const first = await run(['ca', 'init', '--out', out, '--name', 'my root', '--days', '3'])
  assert.equal(first.code, 0)
  assert.equal(first.stdout, `${join(out, 'ca.pem')}\n${join(out, 'ca.key')}\n`)
  assert.equal(await mode(join(out, 'ca.key')), '600')
  assert.equal(await mode(join(out, 'ca.pem')), '644')
  const before = await readFile(join(out, 'ca.key'), 'utf8')
  const second = await run(['ca', 'init', '--out', out])
  assert.equal(second.code, 1)
  assert.match(second.stderr, /ca\.key is there already; --force replaces it/)
  assert.equal(await readFile(join(out, 'ca.key'), 'utf8'), before)
  assert.equal((await run(['ca', 'init', '--out', out, '--force'])).code, 0)
  assert.notEqual(await readFile(join(out, 'ca.key'), 'utf8'), before)
  await rm(join(out, 'ca.key'))
  assert.equal((await run(['ca', 'init', '--out', out])).code, 1)
  await assert.rejects(stat(join(out, 'ca.key')), { code: 'ENOENT' })
})

test('ca init --key rsa makes a CA with an RSA key', async (context) => {
  const folder = await temporaryFolder(context)
  assert.equal((await run(['ca', 'init', '--out', folder, '--key', 'rsa'])).code, 0)
  const { publicKey } = new X509Certificate(await readFile(join(folder, 'ca.pem')))
  assert.equal(publicKey.asymmetricKeyType, 'rsa')
  assert.equal(publicKey.asymmetricKeyDetails?.modulusLength, 3_072)
  const server = ['ca', 'server', '--ca', folder, '--name', 'localhost', '--out', folder]
  assert.equal((await run(server)).code, 0)
  const wrong = [
    ['ca', 'init', '--out', folder, '--force', '--key', 'dsa'],
    [...server, '--key', 'rsa'],
  ]
  for (const args of wrong) {
    const { code, stderr } = await run(args)
    assert.equal(code, 2)
    assert.match(stderr, /--key (must be ecdsa or rsa|is for ca init)/)
  }
})

test('check says what is wrong and exits 1, or that all is well and exits 0', async (context) => {
  const folder = await temporaryFolder(context)
  await run(['ca', 'init', '--out', folder])
  const config = join(folder, 'gateway.yaml')
  await writeFile(config, 'default: deny\ncca: {}\n')
  const wrong = await run(['check', '--config', config])
  assert.equal(wrong.code, 1)
  assert.equal(wrong.stdout, '')
  assert.ok(wrong.stderr.includes(`${config}:2: cca: is not a known key`), wrong.stderr)
  assert.equal((await run(['serve', '--config', config])).code, 1)
  const good = `ca: { certificate: ca.pem, key: ca.key }\nsessions: [{ id: s, tokenSha256: "${'ab'.repeat(32)}" }]\n`
  await writeFile(config, good)
  assert.deepEqual(await run(['check', '-c', config]), { code: 0, stdout: `${config}: ok\n`, stderr: '' })
  await writeFile(config, good.replace('ca.key }', 'gateway.yaml }'))
  const noKey = await run(['check', '-c', config])
  assert.equal(noKey.code, 1)
  assert.match(noKey.stderr, /: ca: has no readable private key/)
})

test('serve with TLS of its own carries an injected request, audits on stdout and ends on SIGTERM with 0', async (context) => {
  const folder = await temporaryFolder(context)
  const origin = await startOrigin(context)
  await run(['ca', 'init', '--out', folder])
  await run(['ca', 'server', '--ca', folder, '--name', 'localhost', '--name', '127.0.0.1', '--out', folder])
  await writeFile(join(folder, 'origin-root.pem'), originCa.rootPem)
  await writeFile(join(folder, 'token'), 'the-token\n')
  await writeFile(
    join(folder, 'gateway.yaml'),
    `default: deny
listen: 127.0.0.1:0
tls: { certificate: server.pem, key: server.key }
ca: { certificate: ca.pem, key: ca.key }
sessions: [{ id: s, tokenFile: token }]
upstream:
  caFiles: [origin-root.pem]
  connectTo: { "api.example.com:443": "${origin.address}" }
hosts:
  api.example.com: [{ transform: [{ headers: { x-api-key: "\${env:API_KEY}" } }] }]
`,
  )
  const child = start(['serve', '--config', join(folder, 'gateway.yaml')], { API_KEY: 'env-secret' })
  context.after(() => child.kill('SIGKILL'))
  let audit = ''
  child.stdout?.on('data', (text) => {
    audit += text
  })
  const [line] = (await once(child.stderr as NodeJS.ReadableStream, 'data')) as [Buffer]
  const [, url] = /^ccr-upstream-gateway: listening on (https:\/\/127\.0\.0\.1:\d+)\n$/.exec(line.toString()) ?? []
  assert.ok(url, line.toString())

  const ca = await readFile(join(folder, 'ca.pem'), 'utf8')
  const tunnelUrl = `${url.replace('https', 'wss')}/upstreamproxy/ws`
  const { stream } = await connect(tunnelUrl, { session: 's', token: 'the-token' }, 'api.example.com:443', ca)
  const socket = await startTls(stream, ca, 'api.example.com')
  const request = requestOver(socket, {})
  request.end()
  assert.equal(JSON.parse(await textOf(await responseOf(request))).headers['x-api-key'], 'env-secret')
  socket.end()

  child.kill('SIGTERM')
  const [code] = await once(child, 'close')
  assert.equal(code, 0)
  const record = JSON.parse(audit)
  assert.equal(record.status, 200)
  assert.deepEqual(record.injected, ['x-api-key'])
  assert.ok(!audit.includes('env-secret') && !audit.includes('the-token'))
})

test('serve says why it cannot start and exits 1', async (context) => {
  const folder = await temporaryFolder(context)
  const origin = await startOrigin(context)
  await run(['ca', 'init', '--out', folder])
  const config = join(folder, 'gateway.yaml')
  await writeFile(
    config,
    `listen: ${origin.address}\nca: { certificate: ca.pem, key: ca.key }\nsessions: [{ id: s, tokenSha256: "${'ab'.repeat(32)}" }]\n`,
  )
  const { code, stderr } = await run(['serve', '--config', config])
  assert.equal(code, 1)
  assert.match(stderr, /: listen: .*EADDRINUSE/)
})
