// The smuggling matrix: early answers × lengths of bodies × framings × protocols × {another try after a 401, a refusal, a client that
// leaves, an upgrade that is refused}. Each request that an origin parsed has its line in the audit, and none other exists. About
// 30 s of CPU; gateway/smuggling/ has the parts.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import type { InterceptAuditRecord } from 'ccr-upstream-gateway'
import { MAX_REPLAY_BYTES } from '#gateway/intercept/request-body.js'
import type { Listening } from '../support/listening.js'
import type { LoggedRequest } from '../support/request-log.js'
import type { Scope } from '../support/temp-dir.js'
import { HOST, startGateway, type TestGateway } from './fixture.js'
import { bodyOf, CASES, type Case, firstPath, SECOND_BYTES, secondPath } from './smuggling/cases.js'
import { type Outcome, play } from './smuggling/clients.js'
import { startHttp2Origin, startRawOrigin, type WatchedOrigin } from './smuggling/origins.js'

/** Cases at once: enough that none waits for another's latency. */
const CLIENTS = 4

interface Stage {
  readonly gateway: TestGateway<Listening>
  readonly origin: WatchedOrigin
}

async function openStage(scope: Scope, protocol: Case['origin']): Promise<Stage> {
  let keys = 0
  // Never as long as the one before: files are compared by time and size.
  const nextKey = () => `key-${keys++}-${'x'.repeat(keys % 9)}`
  let gateway: TestGateway<Listening> | undefined
  const renew = () => gateway?.put('key', nextKey())
  const origin = await (protocol === 'http2' ? startHttp2Origin(scope, renew) : startRawOrigin(scope, renew))
  gateway = await startGateway(scope, {
    origin: origin.listening,
    files: { key: nextKey() },
    rules: { [HOST]: [{ transform: [{ headers: { authorization: { bearer: `\${file:key}` } } }] }] },
  })
  return { gateway, origin }
}

/** Plays every case; what went wrong on a client's side is in `faults`. */
async function playAll(stage: Stage, cases: readonly Case[], faults: string[]): Promise<ReadonlyMap<Case, Outcome>> {
  const outcomes = new Map<Case, Outcome>()
  const waiting = [...cases]
  const client = async () => {
    for (let plan = waiting.shift(); plan !== undefined; plan = waiting.shift()) {
      try {
        outcomes.set(plan, await play(stage.gateway, plan, (path) => stage.origin.untilSeen(path)))
      } catch (error) {
        faults.push(`${JSON.stringify(plan)}: ${(error as Error).message}`)
      }
    }
  }
  await Promise.all(Array.from({ length: CLIENTS }, client))
  return outcomes
}

function byPath<T extends { readonly path: string }>(entries: readonly T[]): ReadonlyMap<string, readonly T[]> {
  const paths = new Map<string, T[]>()
  for (const entry of entries) {
    const known = paths.get(entry.path)
    if (known === undefined) paths.set(entry.path, [entry])
    else known.push(entry)
  }
  return paths
}

/** What is wrong with one request of a case: at the origin, in the audit, or between the two. */
function faultsOf(
  path: string,
  status: number,
  bytes: number,
  seen: readonly LoggedRequest[],
  lines: readonly InterceptAuditRecord[],
): string[] {
  const faults: string[] = []
  if (lines.length > 1) faults.push(`${lines.length} lines`)
  if (seen.length > 0 && lines.length === 0) faults.push('executed without a line')
  if (status > 0 && lines[0]?.status !== status) faults.push(`answered ${status}, audited ${lines[0]?.status}`)
  if (seen.length > (path.endsWith('/renew') || path.endsWith('/401') ? 2 : 1)) faults.push(`${seen.length} tries`)
  for (const { body, isWhole, fields } of seen) {
    if (body.bytes > bytes || (isWhole && body.bytes !== bytes)) faults.push(`${body.bytes} of ${bytes} bytes`)
    if (body.sha256 !== digestOf(body.bytes)) faults.push('the body is another one')
    if (fields.get('authorization')?.length !== 1) faults.push('not one credential')
  }
  return faults.map((fault) => `${path}: ${fault}`)
}

const digests = new Map<number, string>()
function digestOf(bytes: number): string {
  const digest = digests.get(bytes) ?? createHash('sha256').update(bodyOf(bytes)).digest('hex')
  digests.set(bytes, digest)
  return digest
}

/** The statuses with which a first request may be answered. */
function expected({ deed, manner, bytes }: Case): readonly number[] {
  if (manner === 'gone' || manner === 'misframed') return [0, 200, 400, 401]
  if (deed === 'broken' || deed === 'switch') return [502]
  if (deed !== 'renew') return [Number(deed)]
  // What is longer may have been kept when its 401 came, or not.
  return bytes <= MAX_REPLAY_BYTES ? [200] : [200, 401]
}

/** What is wrong with a case as its client saw it. */
function wrongAnswers(plan: Case, [first, second]: Outcome): string[] {
  const isWrong = !expected(plan).includes(first) || (plan.client === 'h2' && second !== 200)
  return isWrong ? [`${JSON.stringify(plan)}: answered ${first} and ${second}`] : []
}

for (const protocol of ['http1', 'http2'] as const) {
  const cases = CASES.filter(({ origin }) => origin === protocol)

  test(`${cases.length} cases to an ${protocol} origin: what it parsed is in the audit, and nothing else is`, {
    timeout: 1_800_000,
  }, async (context) => {
    const stage = await openStage(context, protocol)
    const faults: string[] = []
    const outcomes = await playAll(stage, cases, faults)
    await stage.gateway.close()
    const seen = byPath(stage.origin.requests)
    const lines = byPath(stage.gateway.audit.filter((record) => record.mode === 'intercept'))
    const sent = new Set(cases.flatMap((plan) => [firstPath(plan), secondPath(plan)]))
    const strange = [...seen.keys(), ...lines.keys()].filter((path) => !sent.has(path))
    faults.push(...stage.origin.broken, ...strange.map((path) => `${path}: sent by nobody`))
    for (const plan of cases) {
      const outcome = outcomes.get(plan) ?? [0, 0]
      if (outcomes.has(plan)) faults.push(...wrongAnswers(plan, outcome))
      for (const [index, path, bytes] of [
        [0, firstPath(plan), plan.bytes],
        [1, secondPath(plan), SECOND_BYTES],
      ] as const) {
        faults.push(...faultsOf(path, outcome[index], bytes, seen.get(path) ?? [], lines.get(path) ?? []))
      }
    }
    assert.ok(faults.length === 0, `${faults.length} faults:\n${faults.slice(0, 40).join('\n')}`)
    const kept = [...outcomes.values()].filter(([first, second]) => first > 0 && second > 0)
    assert.ok(kept.length > cases.length / 3, `${kept.length} connections took a second request`)
  })
}
