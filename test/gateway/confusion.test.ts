// Every way to name one host in the CONNECT, another in the TLS hello and a third in the request, over both protocols:
// a credential reaches its own origin, and only when all of them agree.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { type Origin, originCa, startOrigin } from '../support/origin.js'
import { startGateway, type TestGateway } from './fixture.js'
import { ask, startHttp2 } from './http2-client.js'
import { readAll, startTls } from './wire-client.js'

const [API, OTHER, PLAIN] = ['api.example.com', 'other.example.com', 'plain.example.com'] as const
const SECRETS = { [API]: 'secret-of-api', [OTHER]: 'secret-of-other' }

interface Stage {
  readonly gateway: TestGateway
  readonly otherOrigin: Origin
}

/** `api` and `other` have origins and credentials of their own; `plain` has no rule, and leads to the origin of `other`. */
async function startStage(context: TestContext): Promise<Stage> {
  const otherOrigin = await startOrigin(context)
  const rule = (value: string) => [{ transform: [{ headers: { 'x-key': value } }] }]
  const gateway = await startGateway(context, {
    rules: { [API]: rule(SECRETS[API]), [OTHER]: rule(SECRETS[OTHER]) },
    connectTo: { [`${OTHER}:443`]: otherOrigin.address, [`${PLAIN}:443`]: otherOrigin.address },
  })
  return { gateway, otherOrigin }
}

interface Attempt {
  readonly connect: string
  readonly sni: string | undefined
  readonly host: string
}

/** The status of the answer; 0 when TLS or the stream was cut before one. */
async function attempt(
  stage: Stage,
  protocol: 'h2' | 'http/1.1',
  { connect: to, sni, host }: Attempt,
): Promise<number> {
  const { stream, status } = await stage.gateway.openTunnel(to)
  if (status !== 200) return status
  const root = to === PLAIN ? originCa.rootPem : stage.gateway.caCertificatePem
  let socket: TLSSocket
  try {
    // The origin behind the splice speaks HTTP/1.1 only.
    socket = await startTls(stream, root, sni, to === PLAIN ? [protocol, 'http/1.1'] : [protocol], to)
  } catch {
    return 0
  }
  try {
    return protocol === 'h2' && socket.alpnProtocol === 'h2'
      ? await askHttp2(socket, host)
      : await askHttp1(socket, host)
  } finally {
    stream.destroy()
  }
}

async function askHttp1(socket: TLSSocket, host: string): Promise<number> {
  socket.write(`GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\nX-Key: mine\r\n\r\n`)
  const answer = (await readAll(socket)).toString('latin1')
  return Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1] ?? 0)
}

async function askHttp2(socket: TLSSocket, host: string): Promise<number> {
  const session = startHttp2(socket, API)
  const { status } = await ask(session, { ':authority': host, 'x-key': 'mine' })
  session.destroy()
  return status
}

/** The credentials that an origin was sent. */
function keysSeen({ requests }: Origin): (string | undefined)[] {
  return requests.map(
    ({ rawHeaders }) => rawHeaders[rawHeaders.findIndex((name) => name.toLowerCase() === 'x-key') + 1],
  )
}

const SAME_AS_API = [API, 'API.Example.COM', `${API}.`, `${API}:443`]
const NOT_API = [
  OTHER,
  PLAIN,
  `${API}:8443`,
  `user@${API}`,
  `${API},${OTHER}`,
  `${API} ${OTHER}`,
  `evil.${API}`,
  `${API}.evil.example`,
  '127.0.0.1',
  'xn--pi-8ka.example.com',
  'api.example.com%00.evil.example',
]

for (const protocol of ['http/1.1', 'h2'] as const) {
  test(`${protocol}: the credential is set when CONNECT, SNI and host agree, in any spelling`, async (context) => {
    const stage = await startStage(context)
    for (const sni of [API, undefined]) {
      for (const host of SAME_AS_API) {
        const status = await attempt(stage, protocol, { connect: API, sni, host })
        assert.equal(status, 200, `${sni} ${host}`)
      }
    }
    assert.deepEqual(new Set(keysSeen(stage.gateway.origin)), new Set([SECRETS[API]]))
    assert.equal(stage.gateway.origin.requests.length, 2 * SAME_AS_API.length)
    assert.equal(stage.otherOrigin.connections, 0)
  })

  test(`${protocol}: another host in the request is refused, and nothing is dialled`, async (context) => {
    const stage = await startStage(context)
    for (const sni of [API, undefined]) {
      for (const host of NOT_API) {
        const status = await attempt(stage, protocol, { connect: API, sni, host })
        // Node's own client and nghttp2 stop some of them before the check does.
        assert.ok([421, 400, 0].includes(status), `${sni} ${host}: ${status}`)
      }
    }
    assert.equal(stage.gateway.origin.connections, 0)
    assert.equal(stage.otherOrigin.connections, 0)
  })

  test(`${protocol}: another name in the TLS hello fails the handshake, whatever the request says`, async (context) => {
    const stage = await startStage(context)
    for (const host of [API, OTHER]) {
      assert.equal(await attempt(stage, protocol, { connect: API, sni: OTHER, host }), 0)
      assert.equal(await attempt(stage, protocol, { connect: OTHER, sni: API, host }), 0)
      assert.equal(await attempt(stage, protocol, { connect: API, sni: `x.${API}`, host }), 0)
    }
    assert.equal(stage.gateway.origin.connections, 0)
    assert.equal(stage.otherOrigin.connections, 0)
  })

  test(`${protocol}: through the tunnel of a host without a rule no credential is set`, async (context) => {
    const stage = await startStage(context)
    for (const sni of [API, OTHER, PLAIN]) {
      for (const host of [API, OTHER, PLAIN]) {
        assert.equal(await attempt(stage, protocol, { connect: PLAIN, sni, host }), 200)
      }
    }
    assert.deepEqual(new Set(keysSeen(stage.otherOrigin)), new Set(['mine']))
    assert.equal(stage.gateway.origin.connections, 0)
  })
}

test('h2: a Host field beside :authority must be the same, and only one of them goes on', async (context) => {
  const stage = await startStage(context)
  const statusFor = async (headers: Record<string, string>) => {
    const { session } = await stage.gateway.openHttp2()
    const { status } = await ask(session, headers)
    session.destroy()
    return status
  }
  assert.equal(await statusFor({ ':authority': API, host: API }), 200)
  assert.equal(await statusFor({ ':authority': API, host: OTHER }), 421)
  assert.equal(await statusFor({ ':authority': OTHER, host: API }), 421)
  assert.equal(stage.gateway.origin.requests.length, 1)
  const [seen] = stage.gateway.origin.requests
  assert.equal(seen?.rawHeaders.filter((name) => name.toLowerCase() === 'host').length, 1)
})

test('h2: each stream is checked, and a refused one leaves the others alone', async (context) => {
  const stage = await startStage(context)
  const { session } = await stage.gateway.openHttp2()
  const hosts = [API, OTHER, API, PLAIN, API]
  const answers = await Promise.all(hosts.map((host) => ask(session, { ':authority': host })))
  assert.deepEqual(
    answers.map(({ status }) => status),
    [200, 421, 200, 421, 200],
  )
  const refused = answers[1]
  assert.match(String(refused?.headers['proxy-status']), /^ccr-upstream-gateway; error=http_request_error/)
  assert.deepEqual(JSON.parse(refused?.text ?? ''), {
    hop: 'gateway',
    code: 'misdirected',
    message: 'the request names another host than the CONNECT',
    hint: 'open a tunnel of its own for each host',
    retryable: false,
  })
  assert.equal(stage.otherOrigin.connections, 0)
  session.close()
})

test('a redirect to another host is passed on, and the credential stays where it belongs', async (context) => {
  const stage = await startStage(context)
  const { session } = await stage.gateway.openHttp2()
  const { status, headers } = await ask(session, { ':authority': API, ':path': '/redirect' })
  assert.equal(status, 302)
  assert.equal(headers.location, `https://${PLAIN}/next`)
  assert.equal(stage.otherOrigin.connections, 0)
  assert.equal(await attempt(stage, 'http/1.1', { connect: PLAIN, sni: PLAIN, host: PLAIN }), 200)
  assert.deepEqual(keysSeen(stage.otherOrigin), ['mine'])
  session.close()
})
