// The Prometheus text, judged by Prometheus' own checker.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatPrometheus } from '#src/index.js'
import { isInstalled, run } from '../support/cli-process.js'
import { describeOnEachRuntime } from '../support/runtimes.js'
import { startFixture } from './fixture.js'
import { someTraffic } from './some-traffic.js'

describeOnEachRuntime('the Prometheus text', (runtime) => {
  test("passes Prometheus' own checker", async (context) => {
    if (!(await isInstalled(context, 'promtool'))) return context.skip('promtool is not installed')
    const fixture = await startFixture(runtime)
    context.after(() => fixture.end())
    const input = formatPrometheus(await someTraffic(fixture))
    const { exitCode, stdout, stderr } = await run(context, 'promtool', ['check', 'metrics'], {
      env: { PATH: process.env.PATH },
      input,
    })
    assert.deepEqual([exitCode, stdout, stderr], [0, '', ''])
  })
})
