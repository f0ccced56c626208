// A gateway under 20,000 hostile clients and origins, by chance. CCR_TEST_SEED has another run (`SEED`), or one attack of it
// (`SEED/ATTACK`, as a failure names it); CCR_TEST_CASES has another number of cases. What must hold whatever they do stands at the end
// of the test; gateway/fuzz/ has the parts. About 140 s of CPU.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { AuditRecord } from 'ccr-upstream-gateway'
import { SeededRandom } from '../support/seeded-random.js'
import { type Arena, openArena, tlsHost } from './fuzz/arena.js'
import type { Attack, Stage } from './fuzz/attack.js'
import type { BystanderReport } from './fuzz/bystander-program.js'
import type { MemoryReport } from './fuzz/gateway-probe.js'
import { STAGES } from './fuzz/stages.js'
import '../support/watched-process.js'

const [SEED = 0, ONLY] = (process.env.CCR_TEST_SEED ?? '1').split('/').map(Number)
const CASES = Number(process.env.CCR_TEST_CASES ?? 20_000)
/** As many at once as keep two cores busy while others wait; more would only queue up in front of the bystander. */
const CLIENTS = 16
/** Before this many the process is not warm: what it has by then is what it starts with. */
const WARM_UP_CASES = Math.min(2_000, CASES / 4)
const MAX_GROWTH_BYTES = 64 * 1_048_576
const MAX_EXCESS_MS = 250
/** What tunnels have at SIGTERM; without any there is nothing to wait for. */
const GRACE_MS = 10_000
/** Of one request: four for any reason, and twenty more that the origin did not process. */
const MAX_TRIES = 24
/** What a run has to bring about, or it did not get as far as it should. */
const EXPECTED_ERRORS = [
  ...['bad-request', 'credential-mismatch', 'head-too-large', 'method-not-allowed', 'http-version-unsupported'],
  ...['misdirected', 'client-tls-failed', 'client-protocol-error', 'client-closed'],
  ...['tls-failed', 'response-invalid', 'upstream-aborted', 'connection-closed'],
]

const WHEEL = STAGES.flatMap(([, weight, stage]) => Array.from({ length: weight }, () => stage))

/** The attacks of a run. */
class Run {
  readonly #arena: Arena
  /** How many cases each stage had. */
  readonly cases = new Map<Stage, number>()
  readonly #underWay = new Map<number, Stage>()
  #attacks = 0
  #isOver = false
  total = 0

  constructor(arena: Arena) {
    this.#arena = arena
  }

  /** Attacks until there were so many cases, several at once. */
  async until(cases: number): Promise<void> {
    const attackOn = async (client: number) => {
      while (this.total < cases && !this.#isOver) await this.attack(this.#attacks++, client)
    }
    await Promise.all(Array.from({ length: CLIENTS }, (_, client) => attackOn(client)))
  }

  async attack(index: number, client: number): Promise<void> {
    const random = new SeededRandom(SEED + index * 7_919)
    const stage = random.pick(WHEEL)
    let paths = 0
    const attack: Attack = {
      arena: this.#arena,
      random,
      tlsHost: tlsHost(client),
      nextPath: () => `/fuzz/${SEED}/${index}/${paths++}`,
      countCase: () => {
        this.total++
        this.cases.set(stage, (this.cases.get(stage) ?? 0) + 1)
      },
    }
    this.#underWay.set(index, stage)
    try {
      await stage(attack)
    } catch (error) {
      this.#isOver = true
      const underWay = Array.from(this.#underWay, ([index, stage]) => `${SEED}/${index} (${nameOf(stage)})`)
      const exit = this.#arena.exit ?? 'running'
      throw new Error(
        `${SEED}/${index}: ${(error as Error).stack}\nthe gateway: ${exit}\nunder way: ${underWay.join(', ')}`,
      )
    }
    this.#underWay.delete(index)
  }
}

interface Outcome {
  readonly start: MemoryReport
  readonly end: MemoryReport
  readonly bystander: BystanderReport
  readonly casesPerSecond: number
  readonly exit: string
  readonly exitMs: number
  readonly audit: readonly AuditRecord[]
  readonly errors: ReadonlyMap<string, number>
}

/** It only ends what hangs. */
const TIMEOUT_MS = 1_200_000
const TITLE = `${CASES} hostile cases, seed ${SEED}: the gateway goes on, and nobody else notices`

test(TITLE, { timeout: TIMEOUT_MS }, async (context) => {
  context.after(endWithoutCleanup)
  const arena = await openArena(context, CLIENTS)
  const run = new Run(arena)
  const outcome = await play(arena, run)
  report(context, run, outcome)
  assertUnharmed(arena, outcome)
  assertAnswered(outcome.bystander)
  assertAudited(arena, outcome)
  if (ONLY === undefined && CASES >= 20_000) assertReached(outcome)
})

/**
 * What clients and origins leave behind here keeps node from its end: when its event loop is empty it waits for every write, those
 * included that it dropped when the stream below was closed.
 */
function endWithoutCleanup(): void {
  process.once('exit', () => process.exit())
}

async function play(arena: Arena, run: Run): Promise<Outcome> {
  if (ONLY !== undefined) await run.attack(ONLY, 0)
  else await run.until(WARM_UP_CASES)
  await arena.pauseBystander()
  const start = await arena.measure()
  arena.resumeBystander()
  const startedAt = performance.now()
  if (ONLY === undefined) await run.until(CASES)
  const casesPerSecond = ((run.total - WARM_UP_CASES) * 1_000) / (performance.now() - startedAt)
  const bystander = await arena.pauseBystander()
  await arena.dismissBystander()
  arena.closeOrigins()
  await untilNoTunnelIsOpen(arena)
  const end = await arena.measureWithoutTunnels()
  const terminatedAt = performance.now()
  const { exit, audit } = await arena.terminate()
  const exitMs = performance.now() - terminatedAt
  return { start, end, bystander, casesPerSecond, exit, exitMs, audit, errors: countErrors(audit) }
}

/** Clients and origins are gone: so are the tunnels, each when that has been seen. */
async function untilNoTunnelIsOpen(arena: Arena): Promise<void> {
  while ((await arena.openTunnels()) > 0) await sleep(20)
}

function assertUnharmed(arena: Arena, { start, end, exit, exitMs, errors }: Outcome): void {
  assert.equal(exit, '0')
  assert.ok(exitMs < GRACE_MS, 'SIGTERM ends at once what has no tunnel')
  assert.match(arena.warnings, /^[^\n]*listening on [^\n]*\n$/, 'the gateway had nothing else to say')
  assert.equal(errors.get('internal'), undefined)
  assert.equal(end.tunnels, 0, 'tunnels that have ended are held by something')
  assert.ok(end.usedBytes - start.usedBytes < MAX_GROWTH_BYTES, 'memory grew')
  assert.ok(end.residentBytes - start.residentBytes < MAX_GROWTH_BYTES, 'resident memory grew')
}

function assertAnswered({ failure, answers, maxExcessMs }: BystanderReport): void {
  assert.equal(failure, undefined)
  assert.ok(answers > 0)
  assert.ok(maxExcessMs < MAX_EXCESS_MS, `the bystander waited ${maxExcessMs} ms longer than without the gateway`)
}

function assertAudited({ seen }: Arena, { audit }: Outcome): void {
  assert.deepEqual(seen.broken, [], 'an origin got what is no request')
  const lines = new Map<string, number>()
  for (const record of audit) {
    if (record.mode === 'intercept') lines.set(record.path, (lines.get(record.path) ?? 0) + 1)
  }
  for (const [path, count] of seen.counts) {
    const audited = lines.get(path) ?? 0
    assert.ok(audited > 0 && count <= audited * MAX_TRIES, `${path}: seen ${count} times, audited ${audited} times`)
  }
}

function countErrors(audit: readonly AuditRecord[]): Map<string, number> {
  const errors = new Map<string, number>()
  for (const record of audit) {
    const error = record.mode === 'refused' ? record.code : record.error
    if (error !== undefined) errors.set(error, (errors.get(error) ?? 0) + 1)
  }
  return errors
}

/** What the cases are for did happen. */
function assertReached({ errors }: Outcome): void {
  const missing = EXPECTED_ERRORS.filter((code) => !errors.has(code))
  assert.deepEqual(missing, [])
}

function nameOf(stage: Stage): string | undefined {
  return STAGES.find(([, , known]) => known === stage)?.[0]
}

function report(context: TestContext, run: Run, outcome: Outcome): void {
  const { start, end, bystander, casesPerSecond, exitMs, errors } = outcome
  const figures = {
    cases: Object.fromEntries(STAGES.map(([name, , stage]) => [name, run.cases.get(stage) ?? 0])),
    casesPerSecond: Math.round(casesPerSecond),
    usedMiB: [start, end].map(({ usedBytes }) => Math.round(usedBytes / 1_048_576)),
    residentMiB: [start, end].map(({ residentBytes }) => Math.round(residentBytes / 1_048_576)),
    bystander,
    exitMs: Math.round(exitMs),
    errors: Object.fromEntries(errors),
  }
  context.diagnostic(JSON.stringify(figures))
}
