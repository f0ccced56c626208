// Every client that is installed, tried for real: with the environment that children get, through relays of its own, so that
// what the relay saw of it can be told apart from what the others did.

import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ERROR_CODES, type ErrorCode, UpstreamProxyError } from '../errors.js'
import type { RelayStatistics } from '../relay/monitor.js'
import { type ChildTargets, createChildEnvironment } from '../system/children/child-env.js'
import { writeChildFiles } from '../system/children/child-files.js'
import { writeJavaTrustStore } from '../system/children/files/java-trust-store.js'
import type { Environment } from '../system/environment.js'
import { type Examination, type Finding, type Hop, hopOf, needed, Problem, Skipped } from './check.js'
import { CLIENTS, type Client, type ClientTarget, NOT_INSTALLED, UNTRIED_CLIENTS } from './client-table.js'
import type { ExaminedRelay } from './examined-relay.js'
import type { Ground } from './ground.js'
import { startOwnRelay } from './own-relay.js'
import { findProgram, type ProgramOptions, type ProgramOutcome, ProgramRunner } from './programs.js'
import type { Target } from './target.js'
import { printable, type Redact, redactorOf } from './words.js'

/** Clients at once: most of them are short of a processor, not of the network. */
const MAX_AT_ONCE = 3
/** A slow machine starts a JVM in three seconds. */
const CLIENT_TIMEOUT_MS = 8_000
/** With less than this left nothing is begun: its failure would say nothing. */
const LEAST_TIME_MS = 1_500
const VERSION_TIMEOUT_MS = 3_000
/** A client that took longer takes as long for its version, which may be what others need. */
const SLOW_MS = 2_000
const ASK_BY_NAME = '--client gives it all of the time'

/** An installed client and the file that is run. */
interface InstalledClient {
  readonly client: Client
  readonly file: string
}

/** What is known of a client besides its trial. */
interface Version {
  readonly number: string | undefined
  /** Whether it came as far as to say it. */
  readonly starts: boolean
}

export async function examineClients(examination: Examination, ground: Ground): Promise<Partial<Ground>> {
  examination.enter('clients')
  const { clientNames: named, environment } = ground
  const isChosen = ({ name }: { readonly name: string }): boolean => named?.includes(name) ?? true
  const installed = findClients(CLIENTS.filter(isChosen), environment)
  const untried = UNTRIED_CLIENTS.filter(isChosen).filter(({ program }) => isInstalled(program, environment))
  const found = [...installed.map(({ client }) => client), ...untried].map(({ name }) => name)
  const trials = await examination.check('clients', () => {
    if (ground.needsTarget) throw new Skipped('no client was tried: name a host with --url')
    needed(ground.reached, 'round-trip')
    if (ground.holder?.kind === 'mute') throw new Skipped('the relay that runs does not tell what it sees of a client')
    const seen = found.length === 0 ? 'none of those that are known is on PATH' : `installed: ${found.join(', ')}`
    return { seen, result: new ClientTrials(examination, ground) }
  })
  if (trials === undefined) return {}
  examination.atEnd(() => trials.close())
  const outcomes = trials.begin(installed)
  for (const [index, { client }] of installed.entries()) {
    await examination.check(`client ${client.name}`, () => outcomes[index] as Promise<Finding<true>>)
  }
  for (const { name, reason } of untried) await skip(examination, name, reason)
  for (const name of named ?? []) if (!found.includes(name)) await skip(examination, name, 'it is not on PATH')
  return {}
}

function findClients(clients: readonly Client[], { PATH }: Environment): InstalledClient[] {
  return clients.flatMap((client) => {
    const file = findProgram(client.program, PATH)
    return file === undefined ? [] : [{ client, file }]
  })
}

function isInstalled(program: string, { PATH }: Environment): boolean {
  return findProgram(program, PATH) !== undefined
}

async function skip(examination: Examination, name: string, reason: string): Promise<void> {
  await examination.check(`client ${name}`, () => {
    throw new Skipped(reason)
  })
}

/** Tries clients, a few at once, and hands out the result of each. */
class ClientTrials {
  readonly #examination: Examination
  readonly #ground: Ground
  readonly #target: Target
  readonly #targets: Omit<ChildTargets, 'proxyUrl'>
  readonly #redact: Redact
  readonly #isNamed: boolean
  readonly #runner = new ProgramRunner()
  readonly #relays: ExaminedRelay[] = []
  /** Those of the relays that no client uses at the moment. */
  readonly #idle: ExaminedRelay[] = []
  readonly #waiting: (() => Promise<void>)[] = []
  #begun = 0

  constructor(examination: Examination, ground: Ground) {
    this.#examination = examination
    this.#ground = ground
    this.#target = needed(ground.reached, 'round-trip')
    this.#targets = provideTargets(ground)
    this.#isNamed = ground.clientNames !== undefined
    this.#redact =
      ground.holder === undefined
        ? redactorOf(needed(ground.token, 'token'), needed(ground.settings, 'settings').sessionId)
        : (text) => text
  }

  /** Tries them in the order given; each promise is the outcome of one. */
  begin(clients: readonly InstalledClient[]): Promise<Finding<true>>[] {
    const outcomes = clients.map((installed) => {
      return new Promise<Finding<true>>((resolve, reject) => {
        this.#waiting.push(() => this.#try(installed).then(resolve, reject))
      })
    })
    // Each is asked for in its turn, which may be after it has failed.
    for (const outcome of outcomes) outcome.catch(() => {})
    const workOn = async (): Promise<void> => {
      for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) await next()
    }
    // The figures of a relay that runs do not tell one client from another.
    const atOnce = this.#ground.holder === undefined ? MAX_AT_ONCE : 1
    for (let worker = 0; worker < atOnce; worker++) void workOn()
    return outcomes
  }

  async close(): Promise<void> {
    this.#runner.close()
    await Promise.all(this.#relays.map((relay) => relay.close()))
  }

  async #try(installed: InstalledClient): Promise<Finding<true>> {
    const timeoutMs = this.#timeForTrial()
    const relay = this.#idle.pop() ?? (await this.#openRelay())
    try {
      return await this.#tryThrough(relay, installed, timeoutMs)
    } finally {
      this.#idle.push(relay)
    }
  }

  /** All that is left for a client that was asked for by its name. */
  #timeForTrial(): number {
    const leftMs = this.#examination.remainingMs()
    if (this.#isNamed) return this.#examination.timeFor(leftMs)
    if (leftMs < LEAST_TIME_MS) throw new Skipped(`no time was left for it: ${ASK_BY_NAME}`)
    return this.#examination.timeFor(CLIENT_TIMEOUT_MS)
  }

  async #openRelay(): Promise<ExaminedRelay> {
    const { holder, relay: running } = this.#ground
    const relay = holder === undefined ? await startOwnRelay(this.#ground) : needed(running, 'relay')
    this.#relays.push(relay)
    return relay
  }

  async #tryThrough(
    relay: ExaminedRelay,
    { client, file }: InstalledClient,
    timeoutMs: number,
  ): Promise<Finding<true>> {
    const { environment } = this.#ground
    const cwd = join(needed(this.#ground.bundle, 'bundle').directory.path, `client-${this.#begun++}`)
    const trial = client.trial(clientTarget(this.#target))
    mkdirSync(cwd, { mode: 0o700 })
    for (const [name, text] of Object.entries(trial.files ?? {})) writeFileSync(join(cwd, name), text)
    const given = createChildEnvironment({ ...this.#targets, proxyUrl: relay.proxyUrl }, environment)
    const env = { ...environment, ...given, ...homeIn(cwd, environment), ...trial.env }
    const options = { env, cwd, timeoutMs }
    const before = await relay.stats()
    const outcome = await this.#runner.run(file, trial.args, { ...options, endedAt: client.endedAt })
    const stats = { before, after: await relay.stats() }
    return this.#judge(client, outcome, await this.#versionOf({ client, file }, outcome, options), stats, given)
  }

  /** After the trial, so that it takes no time from it. */
  async #versionOf(
    { client, file }: InstalledClient,
    trial: ProgramOutcome,
    options: Omit<ProgramOptions, 'timeoutMs'>,
  ): Promise<Version> {
    if (client.version === undefined) {
      const number = (client.versionSaid ?? /^version (\S+)/m).exec(trial.output)?.[1]
      return { number, starts: number !== undefined }
    }
    if (isAnswered(client, trial) && trial.ms > SLOW_MS && this.#waiting.length > 0) {
      return { number: undefined, starts: true }
    }
    const timeoutMs = Math.min(this.#examination.remainingMs(), VERSION_TIMEOUT_MS)
    const said = await this.#runner.run(file, client.version, { ...options, timeoutMs })
    return { number: /\d+\.\d+(?:\.\d+)?/.exec(said.output)?.[0], starts: said.exitCode === 0 || said.isLate }
  }

  #judge(
    client: Client,
    outcome: ProgramOutcome,
    version: Version,
    stats: { readonly before: RelayStatistics; readonly after: RelayStatistics },
    given: Readonly<Record<string, string>>,
  ): Finding<true> {
    if (outcome.exitCode === NOT_INSTALLED) throw new Skipped('the library is not installed')
    const seen = whatRelaySaw(stats.before, stats.after)
    const number = version.number === undefined ? '' : `${version.number}: `
    if (isAnswered(client, outcome) && seen.opened > 0) {
      const said = `${number}answered through the tunnel in ${Math.round(outcome.ms)} ms`
      return { seen: said, result: true, stages: { total: outcome.ms } }
    }
    const words = this.#redact(lastWords(outcome.output))
    if (outcome.isLate) return this.#late(number, outcome)
    if (!version.starts && seen.asked === 0) {
      throw new Skipped(`it does not start: ${words}${client.needs === undefined ? '' : `; it needs ${client.needs}`}`)
    }
    throw new Problem({ hop: 'client', ...explain(client, seen, given), message: `${number}${words}` })
  }

  #late(number: string, { ms }: ProgramOutcome): Finding<true> {
    if (this.#examination.remainingMs() === 0 && !this.#isNamed)
      throw new Skipped(`the time of the examination was over before it had ended: ${ASK_BY_NAME}`)
    const warning = new UpstreamProxyError(
      'client-timeout',
      `${number}it took more than ${Math.round(ms / 1000)} seconds`,
    )
    return { seen: '', result: true, warning }
  }
}

/** The files of step 4, as children get them, or have them already. */
function provideTargets({ settings, environment, noProxy, bundle, holder }: Ground): Omit<ChildTargets, 'proxyUrl'> {
  if (holder !== undefined) return holder.record.targets
  const { directory, files: bundles } = needed(bundle, 'bundle')
  const { certificates, ...paths } = bundles
  const choice = needed(settings, 'settings').childEnv
  const plain = { ...paths, noProxy: needed(noProxy, 'no-proxy'), choice }
  if (choice.level !== 'files') return plain
  const javaTrustStore = writeJavaTrustStore(directory, certificates)
  return { ...plain, files: writeChildFiles(directory, environment, { ...paths, javaTrustStore }) }
}

function clientTarget({ url }: Target): ClientTarget {
  return { url: url.href, origin: url.origin, host: url.host }
}

/** Variables that lead clients to what they keep outside their home. */
const STORES = `CLOUDSDK_CONFIG DENO_DIR GOCACHE GOMODCACHE GOPATH NPM_CONFIG_CACHE YARN_CACHE_FOLDER
npm_config_cache npm_config_store_dir pnpm_config_store_dir`.split(/\s/)

/** A home of its own: nothing of the user's is written, and what only finds the program itself is read. */
function homeIn(cwd: string, environment: Environment): Record<string, string> {
  const { HOME = '', RUSTUP_HOME = join(HOME, '.rustup') } = environment
  const own = ['HOME', 'TMPDIR', 'XDG_CONFIG_HOME', 'XDG_CACHE_HOME', 'XDG_DATA_HOME', 'XDG_STATE_HOME']
  const stores = STORES.filter((name) => environment[name] !== undefined)
  return {
    ...Object.fromEntries([...own, 'CARGO_HOME', 'GRADLE_USER_HOME', ...stores].map((name) => [name, cwd])),
    // rustup writes the settings that it does not find.
    RUSTUP_HOME: existsSync(join(RUSTUP_HOME, 'settings.toml')) ? RUSTUP_HOME : cwd,
    PYTHONDONTWRITEBYTECODE: '1',
    // The second compiler of a JVM takes half of the time of a short run, and brings nothing.
    JDK_JAVA_OPTIONS: `${environment.JDK_JAVA_OPTIONS ?? ''} -XX:TieredStopAtLevel=1`.trim(),
  }
}

function isAnswered({ answered, answeredBy = [] }: Client, outcome: ProgramOutcome): boolean {
  const { exitCode, output, isLate, isEnded } = outcome
  if (isLate || (exitCode === undefined && !isEnded)) return false
  return [0, ...answeredBy].some((code) => code === exitCode) || answered?.test(output) === true
}

/** What a client has done to a relay. */
interface ClientTraces {
  readonly asked: number
  readonly opened: number
  /** Why the relay refused it, and how often the gateway did. */
  readonly refusals: readonly ErrorCode[]
  readonly refusedByGateway: number
}

function whatRelaySaw({ tunnels: before }: RelayStatistics, { tunnels: after }: RelayStatistics): ClientTraces {
  const codes = Object.keys(after.refused) as ErrorCode[]
  return {
    asked: after.accepted - before.accepted,
    opened: after.established - before.established,
    refusals: codes.filter((code) => (after.refused[code] ?? 0) > (before.refused[code] ?? 0)),
    refusedByGateway: after.refusedByGateway - before.refusedByGateway,
  }
}

/** What the relay saw of a client tells what the client lacks. */
function explain(
  { proxyVariable, trustVariable, caution }: Client,
  { asked, opened, refusals, refusedByGateway }: ClientTraces,
  given: Readonly<Record<string, string>>,
): { readonly code: string; readonly hint: string; readonly hop?: Hop } {
  const more = caution === undefined ? '' : `; ${caution}`
  if (asked === 0) {
    const variable = [proxyVariable, 'HTTPS_PROXY'].find((name) => given[name] === undefined) ?? proxyVariable
    return { code: 'client-not-proxied', hint: `${needOf('the proxy', variable, given)}${more}` }
  }
  if (opened > 0) return { code: 'client-failed', hint: `${needOf('the CA', trustVariable, given)}${more}` }
  const [code] = refusals
  if (code !== undefined) return { code, hop: hopOf(code), hint: `${ERROR_CODES[code].hint}${more}` }
  if (refusedByGateway > 0) {
    const refused = 'gateway-connect-refused'
    return { code: refused, hop: hopOf(refused), hint: ERROR_CODES[refused].hint }
  }
  return {
    code: 'client-failed',
    hint: `it connected to the relay and asked for nothing; ${ERROR_CODES['client-failed'].hint}`,
  }
}

function needOf(what: string, variable: string, given: Readonly<Record<string, string>>): string {
  if (given[variable] === undefined) {
    return `it takes ${what} from ${variable}, which CCR_UPSTREAM_PROXY_ENV or CCR_UPSTREAM_PROXY_ENV_EXCEPT leaves out`
  }
  return `it takes ${what} from ${variable}, which is set: look for a configuration of its own that wins`
}

/** The line that most likely says why. */
function lastWords(output: string): string {
  const lines = output.split('\n').map((line) => printable(line))
  const said = lines.filter((line) => line !== '')
  return (
    said.find((line) => /certificate|PKIX|unknown ?host|ENOTFOUND|name or service/i.test(line)) ??
    said.find((line) => /error|fail|denied|unable|refused|cannot|could not/i.test(line)) ??
    said.at(-1) ??
    'it said nothing'
  )
}
