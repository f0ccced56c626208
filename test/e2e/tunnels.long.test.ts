// Bytes through the whole system: real sockets, real TLS, the relay in a process of its own, the real gateway.

import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { after, before, describe, it } from 'node:test'
import { isInstalled, run } from '../support/cli-process.js'
import { type ConnectRefused, requestThroughTunnel } from '../support/connect-client.js'
import { deterministicBytes, digest } from '../support/deterministic-bytes.js'
import { DENIED_AUTHORITY, PLAIN_HOST, RULED_HOST, SECRET, type System, startSystem, TOKEN } from '../support/system.js'
import { SharedScope } from '../support/temp-dir.js'
import { type RelaySession, startRelaySession } from './relay-session.js'

const LARGE_BYTES = 256 * 1024 * 1024

/** What the origin echoes. */
interface Echo {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
}

const setup = new SharedScope()
const hasCurl = await isInstalled(setup, 'curl')
const skipCurl = hasCurl ? false : 'curl is not installed'

describe('a tunnel through relay and gateway', { timeout: 1_800_000 }, () => {
  let system: System
  let session: RelaySession
  let ca: string

  before(async () => {
    system = await startSystem(setup)
    session = await startRelaySession(setup, system)
    ca = readFileSync(session.clientEnv.SSL_CERT_FILE ?? '', 'utf8')
  })
  after(() => setup.end())

  const request = (url: string, opening?: 'one-packet' | 'byte-by-byte') =>
    requestThroughTunnel({ url, proxyUrl: session.proxyUrl, ca, ...(opening && { opening }) })
  const curl = (...args: string[]) =>
    run(setup, 'curl', ['--silent', '--show-error', ...args], { env: session.clientEnv })

  for (const [option, spoken] of [
    ['--http1.1', '1.1'],
    ['--http2', '2'],
  ] as const) {
    it(`lets real curl get the injected credential with ${option}`, { skip: skipCurl }, async () => {
      const url = `https://${RULED_HOST}/v1/me`
      const { exitCode, stdout, stderr } = await curl(option, '--write-out', '\n%{http_version}', url)
      assert.equal(stderr, '')
      assert.equal(exitCode, 0)
      const [body = '', version] = stdout.split('\n')
      assert.equal(version, spoken)
      const echo = JSON.parse(body) as Echo
      assert.equal(echo.path, '/v1/me')
      assert.equal(echo.headers.authorization, `Bearer ${SECRET}`)
    })
  }

  it('leaves a host without a rule to its own certificate', { skip: skipCurl }, async () => {
    const { stdout, stderr } = await curl('--verbose', `https://${PLAIN_HOST}/v1/me`)
    assert.match(stderr, /issuer: CN=origin root/)
    assert.equal((JSON.parse(stdout) as Echo).headers.authorization, undefined)
  })

  it('shows the reason of a refusal by the gateway to curl', { skip: skipCurl }, async () => {
    const { exitCode, stderr } = await curl('--verbose', '--noproxy', 'none.invalid', `https://${DENIED_AUTHORITY}/`)
    assert.notEqual(exitCode, 0)
    assert.match(stderr, /< HTTP\/1\.1 403 Forbidden/)
    assert.match(stderr, /< Proxy-Status: ccr-upstream-gateway; error=destination_ip_prohibited/)
    assert.match(stderr, /CONNECT tunnel failed, response 403/)
  })

  it('passes the whole refusal by the gateway on', async () => {
    await assert.rejects(request(`https://${DENIED_AUTHORITY}/`), (error: ConnectRefused) => {
      assert.equal(error.status, 403)
      assert.match(error.answer, /"hop":"gateway","code":"address-denied"/)
      return true
    })
  })

  it('is refused by the gateway for another session without a trace of the token', async (t) => {
    const { relay, proxyUrl } = await startRelaySession(t, {
      ...system,
      environment: { ...system.environment, CCR_UPSTREAM_PROXY_LOG: 'debug', CLAUDE_CODE_REMOTE_SESSION_ID: 'another' },
    })
    await assert.rejects(
      requestThroughTunnel({ url: `https://${RULED_HOST}/`, proxyUrl, ca }),
      (error: ConnectRefused) => {
        assert.equal(error.status, 407)
        assert.ok(!error.answer.includes(TOKEN))
        return true
      },
    )
    relay.kill('SIGTERM')
    const { stdout, stderr } = await relay.ended
    assert.ok(!`${stdout}${stderr}`.includes(TOKEN))
    assert.ok(!`${stdout}${stderr}`.includes(Buffer.from(`another:${TOKEN}`).toString('base64')))
  })

  for (const opening of ['one-packet', 'byte-by-byte'] as const) {
    for (const host of [RULED_HOST, PLAIN_HOST]) {
      it(`carries the head and the ClientHello sent ${opening} to ${host}`, async () => {
        const { status, body } = await request(`https://${host}/${opening}`, opening)
        assert.equal(status, 200)
        assert.equal((JSON.parse(body.toString()) as Echo).path, `/${opening}`)
      })
    }
  }

  it('gives 200 parallel requests 200 right answers', async () => {
    const paths = Array.from({ length: 200 }, (_, index) => `/item/${index}`)
    const host = (index: number) => (index % 2 === 0 ? RULED_HOST : PLAIN_HOST)
    const answers = await Promise.all(paths.map((path, index) => request(`https://${host(index)}${path}`)))
    const seen = answers.map(({ body }) => JSON.parse(body.toString()) as Echo)
    assert.deepEqual(
      seen.map(({ path }) => path),
      paths,
    )
    assert.deepEqual(
      seen.map(({ headers }) => headers.authorization),
      paths.map((_, index) => (index % 2 === 0 ? `Bearer ${SECRET}` : undefined)),
    )
  })

  for (const host of [RULED_HOST, PLAIN_HOST]) {
    it(`downloads 256 MiB from ${host} unchanged`, { skip: skipCurl }, async () => {
      const curlProcess = startCurl(session, `https://${host}/bytes/${LARGE_BYTES}`)
      const [expected, seen] = await Promise.all([expectedDigest(), digest(curlProcess.stdout as Readable)])
      assert.deepEqual(seen, expected)
    })
  }

  for (const [option, path] of [
    // curl asks first (Expect: 100-continue), and that goes through as well.
    ['--http1.1', '/expect'],
    ['--http2', '/upload'],
  ] as const) {
    it(`uploads 256 MiB unchanged with ${option}`, { skip: skipCurl }, async () => {
      const curlProcess = startCurl(session, option, '--upload-file', '-', `https://${RULED_HOST}${path}`)
      const [answer, expected] = await Promise.all([
        textOf(curlProcess),
        expectedDigest(),
        pipeline(Readable.from(deterministicBytes(LARGE_BYTES)), curlProcess.stdin as NodeJS.WritableStream),
      ])
      assert.deepEqual(JSON.parse(answer), expected)
    })
  }

  it('has no token, no secret and no value in the audit', () => {
    const text = JSON.stringify(system.audit)
    assert.match(text, /"injected":\["authorization"\]/i)
    assert.ok(!text.includes(SECRET))
    assert.ok(!text.includes(TOKEN))
  })

  const startCurl = ({ clientEnv: env }: RelaySession, ...args: string[]): ChildProcess => {
    const child = spawn('curl', ['--silent', '--show-error', '--fail', ...args], {
      env,
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    setup.after(async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill('SIGKILL')
      await once(child, 'close')
    })
    return child
  }
})

async function textOf({ stdout }: ChildProcess): Promise<string> {
  let text = ''
  for await (const piece of stdout as Readable) text += piece
  return text
}

async function expectedDigest(): Promise<{ sha256: string; bytes: number }> {
  const hash = createHash('sha256')
  for (const block of deterministicBytes(LARGE_BYTES)) hash.update(block)
  return { sha256: hash.digest('hex'), bytes: LARGE_BYTES }
}
