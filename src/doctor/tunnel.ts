// Step 5 of the start, and what it is for: the relay, its answers to what it does not carry, one CONNECT to the gateway with
// its own time, and a whole request through both to the target.

import { readFileSync } from 'node:fs'
import { ERROR_CODES, systemCode, UpstreamProxyError } from '../errors.js'
import { formatAuthority } from '../protocol/authority.js'
import type { HttpAnswer } from '../protocol/http-answer.js'
import { isInNoProxy } from '../protocol/no-proxy.js'
import { Credential } from '../relay/credential.js'
import { type Relay, startRelayOn } from '../relay/relay.js'
import { dialFailed } from '../runtime/failures.js'
import { Probe } from '../runtime/probe.js'
import { runtime } from '../runtime/select.js'
import type { CertificateFiles } from '../system/certificates/certificate-files.js'
import { readContainerProxy } from '../system/egress.js'
import { routeTo } from './certificates.js'
import { type Examination, type Finding, needed, Problem, Skipped } from './check.js'
import { ConnectAttempt } from './connect-attempt.js'
import { checkUpgrade, describeStages, GATEWAY_TIMEOUT_MS, request, stagesOf } from './gateway-way.js'
import type { Ground } from './ground.js'
import { chooseTarget, type Target } from './target.js'
import { type Redact, redactorOf, wordsOf } from './words.js'

/** The relay answers from memory. */
const RELAY_TIMEOUT_MS = 1_000
/** The gateway dials the target meanwhile. */
const TUNNEL_TIMEOUT_MS = 4_000

export async function examineTunnel(examination: Examination, ground: Ground): Promise<Partial<Ground>> {
  const { settings, token, address, gatewayAnswer, gatewayCa, bundle, targetUrl, noProxy } = ground
  examination.enter('tunnel')
  const relay = await examination.check('relay', () => checkRelay(ground))
  if (relay !== undefined) examination.atEnd(() => relay.close(0))
  await examination.check('relay-answers', () => checkRelayAnswers(needed(relay, 'relay')))
  const gateway = await examination.check('upgrade', async () => {
    needed(gatewayAnswer, 'gateway')
    const probe = new Probe(examination.timeFor(GATEWAY_TIMEOUT_MS))
    const credential = new Credential(needed(token, 'token'), needed(settings, 'settings').sessionId)
    const result = { credential, redact: redactorOf(needed(token, 'token'), needed(settings, 'settings').sessionId) }
    return { ...(await checkUpgrade(probe, needed(address, 'gateway'), result.credential, result.redact)), result }
  })
  const target = await examination.check('connect', () => {
    const target = chooseTarget(targetUrl, needed(settings, 'settings'))
    const { credential, redact } = needed(gateway, 'upgrade')
    const way = { url: needed(settings, 'settings').tunnelUrl, route: routeTo(needed(address, 'gateway')), credential }
    const attempt = new ConnectAttempt(way, target.authority, examination.timeFor(TUNNEL_TIMEOUT_MS))
    return checkConnect(attempt, target, redact)
  })
  const reached = await examination.check('round-trip', () => {
    const { url, authority } = needed(target, 'connect')
    needed(gatewayCa, 'gateway-ca')
    const isBypassed = isInNoProxy(needed(noProxy, 'no-proxy'), authority.host, authority.port)
    if (isBypassed)
      throw new Skipped(`${url.host} is in NO_PROXY, so clients go past the relay: name another with --url`)
    const probe = new Probe(examination.timeFor(TUNNEL_TIMEOUT_MS))
    return checkRoundTrip(
      probe,
      needed(relay, 'relay'),
      needed(target, 'connect'),
      needed(bundle, 'bundle').files,
      needed(gateway, 'upgrade').redact,
    )
  })
  return { relay, reached }
}

/** A relay as the start makes it; nothing is opened before it is needed, so that each failure is of this moment. */
export async function startExaminedRelay(ground: Ground): Promise<Relay> {
  const { tunnelUrl, sessionId } = needed(ground.settings, 'settings')
  const token = needed(ground.token, 'token')
  const route = routeTo(needed(ground.address, 'gateway'))
  const noProxy = needed(ground.noProxy, 'no-proxy')
  const { egress, noProxy: egressNoProxy } = readContainerProxy(ground.environment)
  return startRelayOn(runtime, route.trust, {
    tunnelUrl,
    token,
    sessionId,
    bypass: { noProxy, egressNoProxy, ...(egress === undefined ? {} : { egress }) },
    ...(route.egress === undefined ? {} : { egress: route.egress }),
    limits: { maxWarmTunnels: 0 },
  })
}

async function checkRelay(ground: Ground): Promise<Finding<Relay>> {
  const result = await startExaminedRelay(ground)
  return { seen: `listens on ${result.proxyUrl}`, result }
}

/** What clients are told that ask for something else than a tunnel. */
async function checkRelayAnswers({ port }: Relay): Promise<Finding<true>> {
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

// -- The target ------------------------------------------------------------------------------------------------------------

/** One WebSocket, one CONNECT, and the gateway's answer in its own words. */
async function checkConnect(
  attempt: ConnectAttempt,
  target: Target,
  redact: Redact,
): Promise<Finding<Target | undefined>> {
  const { answer, connectMs } = await attempt.answered
  const name = formatAuthority(target.authority)
  if (answer.status === 200) {
    const seen = `the gateway opened a tunnel to ${name} (connect ${Math.round(connectMs)} ms)`
    return { seen, result: target, stages: { connect: connectMs } }
  }
  const problem = tunnelRefused(answer, `the gateway refused the tunnel to ${name}`, redact)
  if (target.isChosen) throw problem
  const hint = 'tunnels work; name a host that you need with --url to go on from here'
  const warning = new Problem({ ...problem, hint, message: problem.message })
  return { seen: '', result: undefined, stages: { connect: connectMs }, warning }
}

/** A refusal in words of the hop that refused, before the tunnel is open or inside of it. */
function tunnelRefused(answer: HttpAnswer, what: string, redact: Redact): Problem {
  const {
    code = 'gateway-connect-refused',
    hint = ERROR_CODES['gateway-connect-refused'].hint,
    text,
    isOfRelay,
  } = wordsOf(answer, redact)
  const hop = isOfRelay ? 'relay' : ORIGIN_CODES.test(code) ? 'origin' : 'gateway'
  return new Problem({ code, hop, hint, message: `${what}: ${text}` })
}

/** What a gateway of this repository says when it is the host behind it that failed (gateway/src/refusal.ts). */
const ORIGIN_CODES = /^(?:dns-failed|connection-\w+|certificate-rejected|tls-failed|response-\w+)$/

/** A request of a client: through the relay, the gateway and TLS up to the first byte that the target says. */
async function checkRoundTrip(
  probe: Probe,
  relay: Relay,
  target: Target,
  { fullBundleFile }: CertificateFiles,
  redact: Redact,
): Promise<Finding<Target>> {
  try {
    const answer = await probeTarget(probe, relay, target, readFileSync(fullBundleFile, 'latin1'))
    if (isOfHop(answer)) throw tunnelRefused(answer, `inside the tunnel to ${target.url.host}`, redact)
    const [, tunnel, tls, firstByte] = probe.stages.map(({ ms }) => ms)
    const stages = [
      { name: 'tunnel', ms: tunnel ?? 0 },
      { name: 'tls', ms: tls ?? 0 },
      { name: 'first byte', ms: firstByte ?? 0 },
    ]
    return {
      seen: `${target.url.host} answered ${answer.status} (${describeStages(stages)})`,
      result: target,
      stages: stagesOf(stages),
    }
  } catch (error) {
    throw error instanceof Problem ? error : roundTripError(error, probe, target)
  } finally {
    probe.close()
  }
}

async function probeTarget(
  probe: Probe,
  { port }: Relay,
  { url, authority }: Target,
  bundle: string,
): Promise<HttpAnswer> {
  const name = formatAuthority(authority)
  await probe.connect('127.0.0.1', port)
  const opened = await probe.ask(`CONNECT ${name} HTTP/1.1\r\nHost: ${name}\r\n\r\n`)
  if (opened.status !== 200) return opened
  await probe.secure(authority.host, bundle)
  return probe.ask(request(url, { Connection: 'close', 'User-Agent': 'ccr-upstream-proxy-doctor' }))
}

/** An answer that comes from a hop on the way, not from the target (RFC 9209). */
function isOfHop({ headers }: HttpAnswer): boolean {
  return headers.get('proxy-status')?.startsWith('ccr-upstream-') === true
}

function roundTripError(error: unknown, { isLate, timeoutMs }: Probe, { url }: Target): UpstreamProxyError {
  if (isLate) return roundTripFailed(`${url.host} did not answer within ${timeoutMs} ms`)
  const code = systemCode(error)
  switch (dialFailed(code).code) {
    case 'clock-skew':
      return new UpstreamProxyError('clock-skew', `the certificate of ${url.host} is not valid yet`)
    case 'gateway-tls-failed':
      return new UpstreamProxyError('target-untrusted', `the certificate of ${url.host} does not verify (${code})`)
    default:
      return roundTripFailed(`${url.host} ended the connection (${code || 'without an answer'})`)
  }
}

function roundTripFailed(message: string): UpstreamProxyError {
  return new UpstreamProxyError('round-trip-failed', message, { side: 'remote' })
}
