// The guard: without it the package is not there. Nothing is read, opened, loaded, written or said.

import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { run } from '../support/cli-process.js'
import { type DisabledReport, type Report, startInit } from '../support/proxy-process.js'
import { createSession } from '../support/system.js'
import { SharedScope } from '../support/temp-dir.js'
import { chooseActor, listTree } from '../support/unprivileged.js'

const UNSET = { CLAUDE_CODE_REMOTE: undefined, CCR_UPSTREAM_PROXY_ENABLED: undefined }
/** A gateway that nobody must ask: if the guard let the start through, the code would be another. */
const SILENT_ADDRESS = { CCR_UPSTREAM_PROXY_URL: 'http://192.0.2.1/' }

describe('the guard', { concurrency: 2, timeout: 1_800_000 }, () => {
  const scope = new SharedScope()
  const actor = chooseActor(scope)
  after(() => scope.end())

  it('keeps everything untouched when it is unset', async (t) => {
    const session = createSession(t, actor, SILENT_ADDRESS)
    const before = listTree(session.directory)
    const child = startInit(t, actor, session, { env: { ...UNSET, CCR_UPSTREAM_PROXY_LOG: 'debug' } })
    const report = await child.next<Report & DisabledReport>()
    child.endInput()
    const { exitCode, stderr } = await child.ended
    assert.equal(report.enabled, false)
    assert.equal(report.code, 'guard-off')
    assert.deepEqual(report.env, {})
    assert.equal(report.hasAddon, false)
    assert.deepEqual(report.listening, [])
    assert.deepEqual(report.resourcesAfter, report.resourcesBefore)
    assert.equal(stderr, '')
    assert.equal(exitCode, 0)
    assert.deepEqual(listTree(session.directory), before)
  })

  const TRUTHY = ['1', 'true', 'yes', 'on', 'TRUE', 'Yes', ' on ']
  const FALSY = ['', '0', 'false', 'no', 'off', '2', 'enabled', 'y', 't', '1 1', 'null']
  const cases = [
    ...TRUTHY.flatMap((value) => [[value, '1', 'config-invalid'] as const, ['1', value, 'config-invalid'] as const]),
    ...FALSY.flatMap((value) => [[value, '1', 'guard-off'] as const, ['1', value, 'guard-off'] as const]),
    [undefined, '1', 'guard-off'] as const,
    ['1', undefined, 'guard-off'] as const,
  ]

  it('takes 1, true, yes and on in any case, of both variables, and nothing else', async (t) => {
    const session = createSession(t, actor, {})
    // One process for the whole table: with the guard on, the base is the first thing that fails.
    const script = `
      const { initUpstreamProxy } = await import(process.argv[1])
      const codes = []
      for (const [remote, enabled] of JSON.parse(process.argv[2])) {
        const environment = { CCR_UPSTREAM_PROXY_URL: 'http://192.0.2.1/', CCR_UPSTREAM_PROXY_LOG: 'silent' }
        if (remote !== null) environment.CLAUDE_CODE_REMOTE = remote
        if (enabled !== null) environment.CCR_UPSTREAM_PROXY_ENABLED = enabled
        codes.push((await initUpstreamProxy({ environment })).code)
      }
      console.log(JSON.stringify(codes))`
    const table = JSON.stringify(cases.map(([remote, enabled]) => [remote ?? null, enabled ?? null]))
    const args = ['--input-type=module', '-e', script, actor.packageUrl, table]
    const { stdout, stderr } = await run(t, actor.nodeFile, args, { ...actor.ids, env: session.env })
    assert.equal(stderr, '')
    const seen = (JSON.parse(stdout) as string[]).map((code, index) => [...(cases[index] ?? []).slice(0, 2), code])
    assert.deepEqual(
      seen,
      cases.map(([remote, enabled, code]) => [remote, enabled, code]),
    )
  })
})
