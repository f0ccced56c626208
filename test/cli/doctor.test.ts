// `ccr-upstream-proxy doctor`: what it finds, how it says it, and that it leaves everything as it was.

import assert from 'node:assert/strict'
import { chmodSync, rmSync, writeFileSync } from 'node:fs'
import { after, before, describe, it } from 'node:test'
import { findFreePort } from '../support/ca-server.js'
import { CLI_FILE, type Outcome, run } from '../support/cli-process.js'
import { createSession, type Session, type System, startSystem, TOKEN } from '../support/system.js'
import { type Scope, SharedScope } from '../support/temp-dir.js'
import { chooseActor, listTree } from '../support/unprivileged.js'

interface Check {
  readonly id: string
  readonly status: 'pass' | 'warn' | 'fail' | 'skip'
  readonly code?: string
  readonly seen?: string
  readonly hint?: string
}

interface Diagnosis {
  readonly ok: boolean
  readonly checks: readonly Check[]
}

const LINUX_ONLY = process.platform === 'linux' ? [] : ['hardening']

describe('doctor', { concurrency: 2, timeout: 60_000 }, () => {
  const scope = new SharedScope()
  const self = { ...chooseActor(scope), own: () => {} }
  let system: System

  before(async () => {
    system = await startSystem(scope)
  })
  after(() => scope.end())

  interface Visit {
    readonly args?: readonly string[]
    readonly env?: Record<string, string>
    readonly spoil?: (session: Session) => void
  }

  /** Runs the doctor, and makes sure that it leaves no trace and tells no secret. */
  async function visit(t: Scope, { args = ['--json'], env = {}, spoil = () => {} }: Visit): Promise<Outcome> {
    const session = createSession(t, self, { ...system.environment, ...env })
    spoil(session)
    const before = listTree(session.directory)
    const outcome = await run(t, process.execPath, [CLI_FILE, 'doctor', ...args], { env: session.env })
    assert.deepEqual(listTree(session.directory), before)
    assert.ok(!`${outcome.stdout}${outcome.stderr}`.includes(TOKEN))
    assert.equal(outcome.stderr, '')
    return outcome
  }

  function diagnosisOf({ stdout }: Outcome): Diagnosis {
    assert.match(stdout, /^[^\n]+\n$/)
    return JSON.parse(stdout) as Diagnosis
  }

  it('passes a healthy machine', async (t) => {
    const outcome = await visit(t, {})
    const { ok, checks } = diagnosisOf(outcome)
    assert.deepEqual(
      checks.filter(({ id, status }) => status !== 'pass' && !LINUX_ONLY.includes(id)),
      [],
    )
    assert.equal(ok, true)
    assert.equal(outcome.exitCode, 0)
    assert.deepEqual(
      checks
        .map(({ id }) => id)
        .filter((id) => ['guard', 'token', 'gateway-ca', 'relay', 'gateway-handshake'].includes(id)),
      ['guard', 'token', 'gateway-ca', 'relay', 'gateway-handshake'],
    )
  })

  it('says it in words without --json', async (t) => {
    const { exitCode, stdout } = await visit(t, { args: [] })
    assert.equal(exitCode, 0)
    assert.match(stdout, /^pass {2}guard /)
    assert.match(stdout, /The proxy would start\.\n$/)
  })

  it('says in words what to do about what fails', async (t) => {
    const { exitCode, stdout } = await visit(t, { args: [], spoil: ({ tokenFile }) => rmSync(tokenFile) })
    assert.equal(exitCode, 1)
    assert.match(stdout, /^fail {2}token +\S+ does not exist \[token-missing\]\n +→ mount the session token/m)
  })

  const BROKEN: readonly (Visit & { title: string; check: string; code: string })[] = [
    { title: 'a guard that is off', check: 'guard', code: 'guard-off', env: { CLAUDE_CODE_REMOTE: '0' } },
    {
      title: 'a base that is no URL',
      check: 'settings',
      code: 'config-invalid',
      env: { CCR_UPSTREAM_PROXY_URL: 'gateway' },
    },
    {
      title: 'a missing token',
      check: 'token',
      code: 'token-missing',
      spoil: ({ tokenFile }) => rmSync(tokenFile),
    },
    {
      title: 'a token that others may write',
      check: 'token',
      code: 'token-unsafe',
      spoil: ({ tokenFile }) => chmodSync(tokenFile, 0o666),
    },
    {
      title: 'a token that the gateway does not know',
      check: 'gateway-handshake',
      code: 'gateway-token-refused',
      spoil: ({ tokenFile }) => writeFileSync(tokenFile, `${TOKEN}-of-yesterday`),
    },
    {
      title: 'a gateway with an unknown certificate',
      check: 'gateway-ca',
      code: 'gateway-tls-failed',
      env: { CCR_UPSTREAM_PROXY_GATEWAY_CA: '' },
    },
    {
      title: 'a wrong CA path',
      check: 'gateway-ca',
      code: 'ca-refused',
      env: { CCR_UPSTREAM_PROXY_CA_PATH: '/elsewhere' },
    },
    {
      title: 'a wrong tunnel path',
      check: 'gateway-handshake',
      code: 'gateway-upgrade-refused',
      env: { CCR_UPSTREAM_PROXY_TUNNEL_PATH: '/elsewhere' },
    },
    {
      title: 'a temporary folder that is not there',
      check: 'bundle',
      code: 'bundle-unwritable',
      env: { TMPDIR: '/nonexistent' },
      spoil: () => {},
    },
  ]
  for (const { title, check, code, ...how } of BROKEN) {
    it(`finds ${title}: ${code}`, async (t) => {
      const outcome = await visit(t, how)
      const { ok, checks } = diagnosisOf(outcome)
      const found = checks.find(({ id }) => id === check)
      assert.deepEqual([found?.status, found?.code], ['fail', code])
      assert.equal(ok, false)
      assert.equal(outcome.exitCode, 1)
      const speechless = checks.filter(
        ({ status, ...rest }) => status === 'fail' && !(rest.code && rest.hint && rest.seen),
      )
      assert.deepEqual(speechless, [])
    })
  }

  it('finds a gateway that is down', async (t) => {
    const outcome = await visit(t, { env: { CCR_UPSTREAM_PROXY_URL: `http://127.0.0.1:${await findFreePort()}` } })
    const failed = diagnosisOf(outcome).checks.filter(({ status }) => status === 'fail')
    assert.deepEqual(
      failed.map(({ id, code }) => [id, code]),
      [
        ['gateway-ca', 'gateway-unreachable'],
        ['gateway-handshake', 'gateway-unreachable'],
      ],
    )
    assert.equal(outcome.exitCode, 1)
  })

  it('warns of a missing system bundle and still passes', async (t) => {
    const outcome = await visit(t, { env: { CCR_SYSTEM_CA_BUNDLE: '/nonexistent/bundle.pem' } })
    const { ok, checks } = diagnosisOf(outcome)
    const found = checks.find(({ id }) => id === 'system-bundle')
    assert.deepEqual([found?.status, found?.code], ['warn', 'system-bundle-missing'])
    assert.equal(ok, true)
    assert.equal(outcome.exitCode, 0)
  })
})
