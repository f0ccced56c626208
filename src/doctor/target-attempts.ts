// What is asked for, once for each question: whether a tunnel to it opens, and whether a request comes back through one.

import { formatAuthority } from '../protocol/authority.js'
import { isInNoProxy } from '../protocol/no-proxy.js'
import type { Credential } from '../relay/credential.js'
import { Probe } from '../runtime/probe.js'
import { type Examination, type Finding, needed, Problem, Skipped } from './check.js'
import { type ConnectAnswer, ConnectAttempt } from './connect-attempt.js'
import type { ExaminedRelay } from './examined-relay.js'
import type { Ground } from './ground.js'
import { askForTunnel, checkRoundTrip, roundTripError } from './round-trip.js'
import { routeTo } from './route.js'
import { chooseTarget, type Target } from './target.js'
import { tunnelRefused } from './tunnel-refusal.js'
import { type Redact, wordsOf } from './words.js'

/** The gateway dials the target meanwhile. */
const TUNNEL_TIMEOUT_MS = 4_000

/** The token as it is sent, and what takes it out of words of others. */
export interface OwnSession {
  readonly credential: Credential
  readonly redact: Redact
}

/** One CONNECT with a time of its own, then a whole request, to what is asked for. */
export class TargetAttempts {
  /** The gateway's own address was not good enough, or goes past the gateway. */
  needsTarget = false
  readonly #examination: Examination
  readonly #ground: Ground
  readonly #relay: ExaminedRelay | undefined
  readonly #session: OwnSession | undefined
  #bypassed: Skipped | undefined

  constructor(
    examination: Examination,
    ground: Ground,
    relay: ExaminedRelay | undefined,
    session: OwnSession | undefined,
  ) {
    this.#examination = examination
    this.#ground = ground
    this.#relay = relay
    this.#session = session
  }

  async connect(): Promise<Finding<Target | undefined>> {
    const { targetUrl, settings, holder } = this.#ground
    const target = chooseTarget(targetUrl, needed(settings, 'settings'))
    const asked = holder === undefined ? this.#askGateway : this.#askRelay
    // The gateway's answer for its own address tells something all the same; but a relay would go past it.
    if (target.isChosen || holder !== undefined) this.#assertProxied(target)
    const finding = await checkConnect(await asked(target), target, this.#redact)
    this.needsTarget = finding.result === undefined
    return finding
  }

  async request(target: Target | undefined): Promise<Finding<Target>> {
    if (this.#bypassed !== undefined) throw this.#bypassed
    const { gatewayCa, bundle, holder } = this.#ground
    const goal = needed(target, 'connect')
    if (holder === undefined) needed(gatewayCa, 'gateway-ca')
    this.#assertProxied(goal)
    const files = needed(bundle, 'bundle').files
    const probe = new Probe(this.#examination.timeFor(TUNNEL_TIMEOUT_MS))
    return checkRoundTrip(probe, needed(this.#relay, 'relay'), goal, files, this.#redact)
  }

  /** @throws {Skipped} when clients go past the relay: then neither it nor the gateway has a say */
  #assertProxied({ url, authority }: Target): void {
    const { holder, noProxy } = this.#ground
    const list = holder?.record.targets.noProxy ?? needed(noProxy, 'no-proxy')
    if (!isInNoProxy(list, authority.host, authority.port)) return
    this.needsTarget = true
    this.#bypassed = new Skipped(`${url.host} is in NO_PROXY, so clients go past the relay: name another with --url`)
    throw this.#bypassed
  }

  /** A relay that runs passes on what every client of it is told; its token is not here to be looked for. */
  readonly #redact: Redact = (text) => this.#session?.redact(text) ?? text

  readonly #askGateway = ({ authority }: Target): Promise<ConnectAnswer> => {
    const { settings, address } = this.#ground
    const { credential } = needed(this.#session, 'upgrade')
    const way = { url: needed(settings, 'settings').tunnelUrl, route: routeTo(needed(address, 'gateway')), credential }
    return new ConnectAttempt(way, authority, this.#examination.timeFor(TUNNEL_TIMEOUT_MS)).answered
  }

  readonly #askRelay = async (target: Target): Promise<ConnectAnswer> => {
    const probe = new Probe(this.#examination.timeFor(TUNNEL_TIMEOUT_MS))
    try {
      const answer = await askForTunnel(probe, needed(this.#relay, 'relay'), target.authority)
      return { answer, connectMs: probe.stages.at(-1)?.ms ?? 0 }
    } catch (error) {
      throw error instanceof Skipped ? error : roundTripError(error, probe, target)
    } finally {
      probe.close()
    }
  }
}

/** The answer to one CONNECT, in the words of who gave it. */
async function checkConnect(
  { answer, connectMs }: ConnectAnswer,
  target: Target,
  redact: Redact,
): Promise<Finding<Target | undefined>> {
  const name = formatAuthority(target.authority)
  if (answer.status === 200) {
    const seen = `the gateway opened a tunnel to ${name} (connect ${Math.round(connectMs)} ms)`
    return { seen, result: target, stages: { connect: connectMs } }
  }
  const words = wordsOf(answer, redact)
  const problem = tunnelRefused(
    words,
    `${words.isOfRelay ? 'there is no' : 'the gateway refused the'} tunnel to ${name}`,
  )
  // What the relay says is never about the gateway's address as a target.
  if (target.isChosen || words.isOfRelay) throw problem
  const hint = 'tunnels work; name a host that you need with --url to go on from here'
  const warning = new Problem({ ...problem, hint, message: problem.message })
  return { seen: '', result: undefined, stages: { connect: connectMs }, warning }
}
