// Everything that goes wrong between a client and its origin gives the client the right status and a code of its own. That the doctor
// finds each is in faults.long.test.ts; here it finds that all is well.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { type RelayOptions, startRelay } from '#src/index.js'
import { CLI_FILE, run } from '../support/cli-process.js'
import { ConnectRefused, requestThroughTunnel } from '../support/connect-client.js'
import { describeOnEachRuntime } from '../support/runtimes.js'
import { RULED_HOST, SESSION_ID, type Session, TOKEN } from '../support/system.js'
import { SharedScope } from '../support/temp-dir.js'
import { checkOf } from './doctor-process.js'
import { examine, FAULTS, type Spoilt, sessionFor, startWorld, type World, WRONG_REQUESTS } from './faults.js'

const setup = new SharedScope()
let world: World

before(async () => {
  world = await startWorld(setup)
})
after(() => setup.end())

/** What a client is answered through a relay of the session, in the tunnel or before it. */
async function answerThroughRelay(session: Session, { host = RULED_HOST, token = TOKEN }: Spoilt) {
  const relay = await startRelay(relayOptions(session, token))
  const { caCertificatePem } = world.system.gateway
  try {
    const { proxyUrl } = relay
    const { status, body } = await requestThroughTunnel({ proxyUrl, url: `https://${host}/`, ca: caCertificatePem })
    return { status, text: body.toString() }
  } catch (error) {
    if (!(error instanceof ConnectRefused)) throw error
    return { status: error.status, text: error.answer.slice(error.answer.indexOf('\r\n\r\n')) }
  } finally {
    await relay.close(0)
  }
}

function relayOptions({ env }: Session, token: string): RelayOptions {
  const tunnelUrl = `${env.CCR_UPSTREAM_PROXY_URL}/upstreamproxy/ws`.replace(/^http/, 'ws')
  const roots = [env.CCR_UPSTREAM_PROXY_GATEWAY_CA, env.CCR_SYSTEM_CA_BUNDLE].filter((file) => file !== undefined)
  return {
    tunnelUrl,
    token,
    sessionId: SESSION_ID,
    trustedCertificates: roots.map((file) => readFileSync(file, 'latin1')).join('\n'),
    ...(env.HTTPS_PROXY === undefined ? {} : { egress: env.HTTPS_PROXY }),
  }
}

describe('a client', { concurrency: 2, timeout: 1_800_000 }, () => {
  for (const { title, code, status, arrange } of FAULTS) {
    it(`is told ${status} ${code} when ${title}`, async (t) => {
      const spoilt = await arrange(t, world)
      const session = sessionFor(t, world, spoilt)
      if (status !== 'off') {
        const answer = await answerThroughRelay(session, spoilt)
        assert.equal(answer.status, status)
        assert.equal((JSON.parse(answer.text) as { code: string }).code, code)
        return
      }
      const outcome = await run(t, process.execPath, [CLI_FILE, 'relay', '--json'], { env: session.env })
      assert.equal(outcome.exitCode, 3)
      const { enabled, code: said } = JSON.parse(outcome.stdout) as { enabled: boolean; code: string }
      assert.deepEqual({ enabled, said }, { enabled: false, said: code })
    })
  }

  for (const { title, head, status, code, next } of WRONG_REQUESTS) {
    it(`is told ${status} ${code} for ${title}`, async (t) => {
      const relay = await startRelay(relayOptions(sessionFor(t, world, {}), TOKEN))
      t.after(() => relay.close(0))
      const answer = await sayTo(relay.port, `${head}\r\nHost: h.example\r\n\r\n`)
      assert.match(answer, new RegExp(`^HTTP/1.1 ${status} `))
      const body = JSON.parse(answer.slice(answer.indexOf('\r\n\r\n'))) as Record<string, string>
      assert.deepEqual([body.hop, body.code], ['relay', code])
      assert.match(body.hint ?? '', next)
    })
  }

  it('gets a code of its own for each', () => {
    const codes = [...FAULTS, ...WRONG_REQUESTS].map(({ code }) => code)
    assert.equal(codes.length, 14)
    assert.equal(new Set(codes).size, 14)
  })
})

async function sayTo(port: number, text: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.write(text)
  let answer = ''
  for await (const bytes of socket) answer += String(bytes)
  return answer
}

describeOnEachRuntime('the doctor', (runtime) => {
  describe('finds that', () => {
    it('the relay answers what it does not carry as it should', async (t) => {
      const found = checkOf(await examine(t, world, runtime, {}), 'relay-answers')
      assert.equal(found.status, 'pass')
      for (const { status, code } of WRONG_REQUESTS) assert.ok(found.seen?.includes(`${status} ${code}`))
    })
  })
})
