// Step 5 of the start, and what it is for: the relay, its answers to what it does not carry, the gateway's answer to the token,
// and what comes of asking for the target through both.

import { systemCode, UpstreamProxyError } from '../errors.js'
import type { HttpAnswer } from '../protocol/http-answer.js'
import { Credential } from '../relay/credential.js'
import { Probe } from '../runtime/probe.js'
import { type Examination, type Finding, needed, Skipped } from './check.js'
import { type ExaminedRelay, useRunningRelay } from './examined-relay.js'
import { checkUpgrade, GATEWAY_TIMEOUT_MS } from './gateway-way.js'
import type { Ground } from './ground.js'
import { startOwnRelay } from './own-relay.js'
import { type OwnSession, TargetAttempts } from './target-attempts.js'
import { redactorOf } from './words.js'

/** The relay answers from memory. */
const RELAY_TIMEOUT_MS = 1_000

export async function examineTunnel(examination: Examination, ground: Ground): Promise<Partial<Ground>> {
  const { holder } = ground
  examination.enter('tunnel')
  const relay = await examination.check('relay', () => checkRelay(ground))
  if (relay !== undefined) examination.atEnd(() => relay.close())
  await examination.check('relay-answers', () => {
    if (holder !== undefined) throw new Skipped('the relay that runs would count it as clients that it refuses')
    return checkRelayAnswers(needed(relay, 'relay'))
  })
  const gateway = await examination.check('upgrade', () => checkOwnUpgrade(examination, ground))
  const attempts = new TargetAttempts(examination, ground, relay, gateway)
  const target = await examination.check('connect', () => attempts.connect())
  const reached = await examination.check('round-trip', () => attempts.request(target))
  return { relay, reached, needsTarget: attempts.needsTarget }
}

/** One of the doctor's own, or the one that has the token. */
async function checkRelay(ground: Ground): Promise<Finding<ExaminedRelay>> {
  const { holder } = ground
  if (holder === undefined) {
    const result = await startOwnRelay(ground)
    return { seen: `listens on ${result.proxyUrl}`, result }
  }
  const result = useRunningRelay(holder)
  if (holder.kind !== 'told') return { seen: '', result, warning: holder.error }
  const { accepted, established, refused, refusedByGateway } = holder.status.statistics.tunnels
  const codes = Object.entries(refused).map(([code, count]) => `${count} ${code}`)
  const refusals = [...codes, ...(refusedByGateway > 0 ? [`${refusedByGateway} by the gateway`] : [])]
  const told = `${accepted} asked, ${established} opened, refused: ${refusals.join(', ') || 'none'}`
  return { seen: `runs on ${result.proxyUrl}; ${told}`, result }
}

/** What clients are told that ask for something else than a tunnel. */
async function checkRelayAnswers({ port }: ExaminedRelay): Promise<Finding<true>> {
  const bad = await say(port, 'CONNECT target.example HTTP/1.1\r\nHost: target.example\r\n\r\n')
  assertRefusal(bad, 400, 'bad-authority')
  const plain = await say(port, 'GET http://target.example/ HTTP/1.1\r\nHost: target.example\r\n\r\n')
  assertRefusal(plain, 405, 'method-not-allowed')
  return { seen: '400 bad-authority to a CONNECT without a port, 405 method-not-allowed to plain HTTP', result: true }
}

async function say(port: number, text: string): Promise<HttpAnswer> {
  const probe = new Probe(RELAY_TIMEOUT_MS)
  try {
    await probe.connect('127.0.0.1', port)
    return await probe.ask(text)
  } catch (error) {
    const why = probe.isLate ? 'no answer' : systemCode(error)
    throw new UpstreamProxyError('loopback-unreachable', `the relay listens, but cannot be reached (${why})`)
  } finally {
    probe.close()
  }
}

function assertRefusal(answer: HttpAnswer, status: number, code: string): void {
  if (answer.status === status && answer.headers.get('proxy-status')?.includes(`"${code}"`)) return
  throw new UpstreamProxyError('internal-error', `the relay answered ${answer.status} where ${status} ${code} is due`)
}

async function checkOwnUpgrade(
  examination: Examination,
  { holder, settings, token, address, gatewayAnswer }: Ground,
): Promise<Finding<OwnSession>> {
  if (holder !== undefined) throw new Skipped('only the relay that runs has the token')
  needed(gatewayAnswer, 'gateway')
  const probe = new Probe(examination.timeFor(GATEWAY_TIMEOUT_MS))
  const { sessionId } = needed(settings, 'settings')
  const credential = new Credential(needed(token, 'token'), sessionId)
  const result = { credential, redact: redactorOf(needed(token, 'token'), sessionId) }
  return { ...(await checkUpgrade(probe, needed(address, 'gateway'), credential, result.redact)), result }
}
