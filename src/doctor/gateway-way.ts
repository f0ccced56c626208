// The way to the gateway, hop by hop: the egress proxy, the gateway itself, its clock; and its answer to the upgrade.

import { randomBytes } from 'node:crypto'
import { UpstreamProxyError } from '../errors.js'
import type { HttpAnswer } from '../protocol/http-answer.js'
import type { Credential } from '../relay/credential.js'
import { upgradeRefused } from '../runtime/failures.js'
import { askGateway, type GatewayAddress, Probe, reachGateway } from '../runtime/probe.js'
import { egressTo, readContainerProxy } from '../system/egress.js'
import type { Environment } from '../system/environment.js'
import type { Settings } from '../system/settings.js'
import { checkSystemBundle } from './certificates.js'
import { type Examination, type Finding, hopOf, needed, Problem, Skipped } from './check.js'
import type { Ground } from './ground.js'
import { type Redact, wordsOf } from './words.js'

/** A way that answers at all does so within four round trips on a bad link. */
export const GATEWAY_TIMEOUT_MS = 3_500

/** Clocks that are further apart than this make certificates look expired, or not valid yet. */
const MOST_SKEW_MS = 300_000

export async function examineWay(
  examination: Examination,
  { settings, environment, container, holder }: Ground,
): Promise<Partial<Ground>> {
  examination.enter('way to the gateway')
  const trusted = await examination.check('system-bundle', () => {
    return checkSystemBundle(needed(settings, 'settings'), container, examination.logger)
  })
  const visit = await examination.check('egress', async () => {
    if (container !== environment && holder?.record.container?.hasEgressCredential)
      throw new Skipped('only the relay that runs knows the password of the egress proxy')
    const probe = new Probe(examination.timeFor(GATEWAY_TIMEOUT_MS))
    const visit = new GatewayVisit(
      probe,
      needed(settings, 'settings'),
      container,
      needed(trusted, 'system-bundle').gatewayRoots,
    )
    return { ...(await visit.checkEgress()), result: visit }
  })
  const gatewayAnswer = await examination.check('gateway', () => needed(visit, 'egress').checkGateway())
  await examination.check('clock', () => checkClock(needed(gatewayAnswer, 'gateway')))
  return { trusted, address: visit?.address, gatewayAnswer }
}

/** Every hop up to the gateway, which is asked for its CA without the token. */
class GatewayVisit {
  readonly address: GatewayAddress
  readonly #probe: Probe
  readonly #outcome: Promise<HttpAnswer>

  constructor(probe: Probe, { tunnelUrl, caUrl }: Settings, environment: Environment, certificates: string) {
    this.#probe = probe
    const egress = egressTo(tunnelUrl, readContainerProxy(environment))
    this.address = { url: tunnelUrl, certificates, egress }
    this.#outcome = this.#visit(caUrl)
    this.#outcome.catch(() => {})
  }

  async #visit(caUrl: URL): Promise<HttpAnswer> {
    try {
      await reachGateway(this.#probe, this.address)
      return await askGateway(this.#probe, request(caUrl, { Connection: 'close' }))
    } finally {
      this.#probe.close()
    }
  }

  async checkEgress(): Promise<Finding<true>> {
    const { egress, url } = this.address
    if (egress === undefined) return { seen: `none on the way: ${url.host} is reached directly`, result: true }
    // What failed behind the proxy is for the next check to tell.
    await this.#outcome.catch((error) => {
      if (hopOf(error.code) === 'egress proxy') throw error
    })
    return { seen: `${egress.url.origin} lets CONNECT ${url.host} through`, result: true }
  }

  async checkGateway(): Promise<Finding<HttpAnswer>> {
    const result = await this.#outcome.catch((error) => {
      if (hopOf(error.code) === 'egress proxy') throw new Skipped('the egress proxy did not let it through')
      throw error
    })
    const stages = this.#probe.stages
    const seen = `${this.address.url.host} answered (${describeStages(stages)})`
    return { seen, result, stages: stagesOf(stages) }
  }
}

/** Compares the gateway's clock (RFC 9110, section 6.6.1) with this machine's. */
function checkClock({ headers }: HttpAnswer, now = Date.now()): Finding<true> {
  const theirs = Date.parse(headers.get('date') ?? '')
  if (Number.isNaN(theirs)) return { seen: 'the gateway does not say what time it is', result: true }
  const skewMs = theirs - now
  if (Math.abs(skewMs) <= MOST_SKEW_MS)
    return { seen: 'the gateway has the same time, within five minutes', result: true }
  const minutes = Math.round(Math.abs(skewMs) / 60_000)
  const message = `the gateway's clock is ${minutes} minutes ${skewMs > 0 ? 'ahead of' : 'behind'} this machine's`
  throw new UpstreamProxyError('clock-skew', message, { side: 'remote' })
}

/** Asks for a WebSocket with the token, and shows what the gateway says when it does not want to. */
export async function checkUpgrade(
  probe: Probe,
  address: GatewayAddress,
  credential: Credential,
  redact: Redact,
): Promise<Finding<true>> {
  try {
    await reachGateway(probe, address)
    const answer = await askGateway(probe, upgradeRequest(address.url, credential))
    if (answer.status !== 101) throw refusalOf(answer, redact)
    const stages = probe.stages.map((stage) => (stage.name === 'answer' ? { ...stage, name: 'upgrade' } : stage))
    const seen = `the gateway took the token (${describeStages(stages)})`
    return { seen, result: true, stages: stagesOf(stages) }
  } finally {
    probe.close()
  }
}

/** The code that clients of the relay get for it, with the gateway's own words. */
function refusalOf(answer: HttpAnswer, redact: Redact): Problem {
  const { code, hint } = upgradeRefused(answer.status)
  const words = wordsOf(answer, redact)
  const own = words.code === undefined ? '' : ` (${words.code})`
  return new Problem({ code, hop: 'gateway', hint, message: `the gateway refused the upgrade: ${words.text}${own}` })
}

/** RFC 6455, section 4.1. The text is not kept. */
function upgradeRequest(url: URL, credential: Credential): string {
  return request(url, {
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': randomBytes(16).toString('base64'),
    ...credential.upgradeHeaders(),
  })
}

/** A GET in HTTP/1.1. */
export function request(url: URL, headers: Readonly<Record<string, string>>): string {
  const fields = Object.entries({ Host: url.host, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`)
  return `GET ${url.pathname}${url.search} HTTP/1.1\r\n${fields.join('')}\r\n`
}

export function stagesOf(stages: readonly { readonly name: string; readonly ms: number }[]): Record<string, number> {
  return Object.fromEntries(stages.map(({ name, ms }) => [name, ms]))
}

/** `dns 2, tcp 1, tls 8, answer 3 ms` */
export function describeStages(stages: readonly { readonly name: string; readonly ms: number }[]): string {
  return `${stages.map(({ name, ms }) => `${name} ${ms < 10 ? ms.toFixed(1) : Math.round(ms)}`).join(', ')} ms`
}
