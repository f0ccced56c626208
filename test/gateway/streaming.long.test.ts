// Large bodies: equal by hash, and never in memory. The gateway runs in a process of its own, whose peak is looked at.

import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect as connectHttp2 } from 'node:http2'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { deterministicBytes, digest, slowly } from '../support/deterministic-bytes.js'
import { type Origin, originCa, startOrigin } from '../support/origin.js'
import { createTestCa } from '../support/test-ca.js'
import { requestOver, responseOf, textOf } from './fixture.js'
import { connect, startTls } from './wire-client.js'

const MAIN = fileURLToPath(new URL('../../../gateway/dist/cli/main.js', import.meta.url))
const CREDENTIALS = { session: 's', token: 'the-token' }
/** CCR_TEST_LARGE=1 sends 1 GiB each time, and a quarter of it over HTTP/2. */
const BODY_BYTES = (process.env.CCR_TEST_LARGE === '1' ? 1_024 : 64) * 1_048_576
const HTTP2_BODY_BYTES = BODY_BYTES / 4
const MAX_GROWTH_BYTES = 64 * 1_048_576

interface Served {
  readonly child: ChildProcess
  readonly interceptionRoot: string
  readonly tunnelUrl: string
  readonly origin: Origin
}

async function serve(context: TestContext, protocol: 'h2' | 'http/1.1' = 'http/1.1'): Promise<Served> {
  const folder = await mkdtemp(join(tmpdir(), 'gateway-streaming-'))
  context.after(() => rm(folder, { recursive: true }))
  const interceptionCa = await createTestCa()
  const names = ['api.example.com', 'plain.example.com']
  const origin = await startOrigin(context, { protocol: protocol === 'h2' ? 'http2' : 'http1' })
  await writeFile(join(folder, 'ca.pem'), interceptionCa.rootPem)
  await writeFile(join(folder, 'ca.key'), interceptionCa.rootKeyPem)
  await writeFile(join(folder, 'origin-root.pem'), originCa.rootPem)
  await writeFile(join(folder, 'token'), CREDENTIALS.token)
  const config = {
    listen: '127.0.0.1:0',
    ca: { certificate: 'ca.pem', key: 'ca.key' },
    sessions: [{ id: CREDENTIALS.session, tokenFile: 'token' }],
    upstream: {
      caFiles: ['origin-root.pem'],
      connectTo: Object.fromEntries(names.map((name) => [`${name}:443`, origin.address])),
    },
    hosts: { 'api.example.com': [{ transform: [{ headers: { 'x-key': 'secret' } }] }] },
  }
  await writeFile(join(folder, 'gateway.json'), JSON.stringify(config))
  const child = spawn(process.execPath, [MAIN, 'serve', '--config', join(folder, 'gateway.json')], { stdio: 'pipe' })
  context.after(async () => {
    child.kill('SIGKILL')
    await once(child, 'close')
  })
  child.stdout.resume()
  const [line] = (await once(child.stderr, 'data')) as [Buffer]
  const url = line.toString().trim().split(' ').at(-1) as string
  const tunnelUrl = `${url.replace('http', 'ws')}/upstreamproxy/ws`
  return { child, interceptionRoot: interceptionCa.rootPem, tunnelUrl, origin }
}

async function open({ tunnelUrl, interceptionRoot }: Served, host: string, protocols?: string[]) {
  const { stream } = await connect(tunnelUrl, CREDENTIALS, `${host}:443`)
  return startTls(stream, host === 'api.example.com' ? interceptionRoot : originCa.rootPem, host, protocols)
}

async function download(served: Served, host: string, path: string, isSlow: boolean) {
  const request = requestOver(await open(served, host), { path, headers: { host } })
  request.end()
  const response = await responseOf(request)
  return digest(isSlow ? slowly(response) : response)
}

async function upload(served: Served, host: string, path: string, headers: Record<string, string>) {
  const request = requestOver(await open(served, host), {
    method: 'POST',
    path,
    headers: { host, ...headers },
  })
  const answer = responseOf(request)
  Readable.from(deterministicBytes(BODY_BYTES)).pipe(request)
  return JSON.parse(await textOf(await answer))
}

/** Peak resident memory in bytes (proc_pid_status(5), VmHWM). */
async function peakMemory({ child }: Served): Promise<number> {
  const status = await readFile(`/proc/${child.pid}/status`, 'utf8')
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024
}

const isLinux = process.platform === 'linux'

for (const host of ['api.example.com', 'plain.example.com']) {
  const mode = host === 'api.example.com' ? 'intercepted' : 'spliced'
  test(`${BODY_BYTES / 1_048_576} MiB are equal by hash in either direction, ${mode}, without being collected`, async (context) => {
    const served = await serve(context)
    const expected = await digest(Readable.from(deterministicBytes(BODY_BYTES)))
    assert.equal((await download(served, host, '/bytes/4000000', false)).bytes, 4_000_000)
    const before = isLinux ? await peakMemory(served) : 0
    assert.deepEqual(await download(served, host, `/bytes/${BODY_BYTES}`, true), expected)
    assert.deepEqual(await download(served, host, `/chunked/${BODY_BYTES}`, false), expected)
    assert.deepEqual(await upload(served, host, '/upload', { 'content-length': String(BODY_BYTES) }), expected)
    assert.deepEqual(await upload(served, host, '/slowly', {}), expected)
    if (mode === 'intercepted') assertInjected(served)
    const growth = isLinux ? (await peakMemory(served)) - before : 0
    context.diagnostic(`${mode}: the gateway's peak grew by ${Math.round(growth / 1_048_576)} MiB`)
    assert.ok(growth < MAX_GROWTH_BYTES, `the gateway's memory grew by ${growth} bytes`)
  })
}

/** Every request that the origin saw has the header, the uploads too. */
function assertInjected({ origin }: Served): void {
  assert.ok(origin.requests.length > 0)
  for (const { path, rawHeaders } of origin.requests) {
    const at = rawHeaders.findIndex((name) => name.toLowerCase() === 'x-key')
    assert.equal(rawHeaders[at + 1], 'secret', path)
  }
}

for (const protocol of ['h2', 'http/1.1'] as const) {
  test(`${HTTP2_BODY_BYTES / 1_048_576} MiB are equal by hash over HTTP/2, ${protocol} to the origin`, async (context) => {
    const served = await serve(context, protocol)
    const expected = await digest(Readable.from(deterministicBytes(HTTP2_BODY_BYTES)))
    const socket = await open(served, 'api.example.com', ['h2'])
    const session = connectHttp2('https://api.example.com', { createConnection: () => socket })
    context.after(() => session.destroy())
    const download = (path: string) => {
      const stream = session.request({ ':path': path })
      return { slow: () => digest(slowly(stream)), fast: () => digest(stream) }
    }
    assert.equal((await download('/bytes/4000000').fast()).bytes, 4_000_000)
    const before = isLinux ? await peakMemory(served) : 0
    assert.deepEqual(await download(`/bytes/${HTTP2_BODY_BYTES}`).slow(), expected)
    assert.deepEqual(await download(`/bytes/${HTTP2_BODY_BYTES}`).fast(), expected)
    const upload = session.request({ ':path': '/upload', ':method': 'POST' })
    Readable.from(deterministicBytes(HTTP2_BODY_BYTES)).pipe(upload)
    let answer = ''
    for await (const text of upload.setEncoding('utf8')) answer += text
    assert.deepEqual(JSON.parse(answer), expected)
    assertInjected(served)
    const growth = isLinux ? (await peakMemory(served)) - before : 0
    context.diagnostic(`h2 and ${protocol}: the gateway's peak grew by ${Math.round(growth / 1_048_576)} MiB`)
    assert.ok(growth < MAX_GROWTH_BYTES, `the gateway's memory grew by ${growth} bytes`)
  })
}
