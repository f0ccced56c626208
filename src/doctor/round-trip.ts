// One request as clients make it: through the relay, the gateway and TLS to the target.

import { systemCode, UpstreamProxyError } from '../errors.js'
import { type Authority, formatAuthority } from '../protocol/authority.js'
import type { HttpAnswer } from '../protocol/http-answer.js'
import { dialFailed } from '../runtime/failures.js'
import type { Probe } from '../runtime/probe.js'
import type { BundleFiles } from '../system/certificates/certificate-files.js'
import { readBundle } from './bundle-in-use.js'
import { type Finding, Problem } from './check.js'
import type { ExaminedRelay } from './examined-relay.js'
import { describeStages, request, stagesOf } from './gateway-way.js'
import type { Target } from './target.js'
import { tunnelRefused } from './tunnel-refusal.js'
import { type Redact, wordsOf } from './words.js'

/** A request of a client: through the relay, the gateway and TLS up to the first byte that the target says. */
export async function checkRoundTrip(
  probe: Probe,
  relay: ExaminedRelay,
  target: Target,
  { fullBundleFile }: BundleFiles,
  redact: Redact,
): Promise<Finding<Target>> {
  try {
    const answer = await probeTarget(probe, relay, target, readBundle(fullBundleFile))
    if (isOfHop(answer)) throw tunnelRefused(wordsOf(answer, redact), `inside the tunnel to ${target.url.host}`)
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
  relay: ExaminedRelay,
  { url, authority }: Target,
  bundle: string,
): Promise<HttpAnswer> {
  const opened = await askForTunnel(probe, relay, authority)
  if (opened.status !== 200) return opened
  await probe.secure(authority.host, bundle)
  return probe.ask(request(url, { Connection: 'close', 'User-Agent': 'ccr-upstream-proxy-doctor' }))
}

/** One CONNECT to the relay, and its answer. */
export async function askForTunnel(probe: Probe, { port }: ExaminedRelay, authority: Authority): Promise<HttpAnswer> {
  const name = formatAuthority(authority)
  await probe.connect('127.0.0.1', port)
  return probe.ask(`CONNECT ${name} HTTP/1.1\r\nHost: ${name}\r\n\r\n`)
}

/** An answer that comes from a hop on the way, not from the target (RFC 9209). */
function isOfHop({ headers }: HttpAnswer): boolean {
  return headers.get('proxy-status')?.startsWith('ccr-upstream-') === true
}

/** What a target that could not be asked is at fault for. */
export function roundTripError(error: unknown, { isLate, timeoutMs }: Probe, { url }: Target): UpstreamProxyError {
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
