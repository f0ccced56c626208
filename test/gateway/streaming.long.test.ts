// Large bodies: equal by hash, and never in memory. The gateway runs in a process of its own, whose peak is looked at.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { deterministicBytes, digest, slowly } from '../support/deterministic-bytes.js'
import { type HttpProtocol, originCa } from '../support/origin.js'
import { CREDENTIALS, HOST, requestOver, responseOf, startGateway, type TestGateway, textOf } from './fixture.js'
import { type GatewayProgram, serve } from './gateway-program.js'
import { startHttp2 } from './http2-client.js'
import { connect, startTls } from './wire-client.js'

/** CCR_TEST_LARGE=1 sends 1 GiB each time, and a quarter of it over HTTP/2. */
const BODY_BYTES = (process.env.CCR_TEST_LARGE === '1' ? 1_024 : 64) * 1_048_576
const HTTP2_BODY_BYTES = BODY_BYTES / 4
const MAX_GROWTH_BYTES = 64 * 1_048_576

interface Served {
  readonly gateway: TestGateway
  readonly program: GatewayProgram
}

async function startServed(context: TestContext, protocol: HttpProtocol): Promise<Served> {
  const rules = { [HOST]: [{ transform: [{ headers: { 'x-key': 'secret' } }] }] }
  const gateway = await startGateway(context, { rules, origin: { protocol } })
  return { gateway, program: await serve(context, gateway, {}) }
}

async function open({ gateway, program }: Served, host: string, protocols?: string[]) {
  const { stream } = await connect(program.tunnelUrl, CREDENTIALS, `${host}:443`)
  return startTls(stream, host === HOST ? gateway.caCertificatePem : originCa.rootPem, host, protocols)
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
async function peakMemory({ program }: Served): Promise<number> {
  const status = await readFile(`/proc/${program.process.pid}/status`, 'utf8')
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024
}

const isLinux = process.platform === 'linux'

for (const host of [HOST, 'plain.example.com']) {
  const mode = host === HOST ? 'intercepted' : 'spliced'
  test(`${BODY_BYTES / 1_048_576} MiB are equal by hash in either direction, ${mode}, without being collected`, async (context) => {
    const served = await startServed(context, 'http1')
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
function assertInjected({ gateway: { origin } }: Served): void {
  assert.ok(origin.requests.length > 0)
  for (const { path, rawHeaders } of origin.requests) {
    const at = rawHeaders.findIndex((name) => name.toLowerCase() === 'x-key')
    assert.equal(rawHeaders[at + 1], 'secret', path)
  }
}

for (const [protocol, origin] of [
  ['h2', 'http2'],
  ['http/1.1', 'http1'],
] as const) {
  test(`${HTTP2_BODY_BYTES / 1_048_576} MiB are equal by hash over HTTP/2, ${protocol} to the origin`, async (context) => {
    const served = await startServed(context, origin)
    const expected = await digest(Readable.from(deterministicBytes(HTTP2_BODY_BYTES)))
    const session = startHttp2(await open(served, HOST, ['h2']), HOST)
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
