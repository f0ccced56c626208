// A clock that is days slow, for a program and its children: faketime(1), by the environment that it gives to what it starts.

import assert from 'node:assert/strict'
import { run } from '../../support/cli-process.js'
import type { Scope } from '../../support/temp-dir.js'

/** The environment of a program whose clock is slow. Its timers are not. */
export async function slowClock(scope: Scope, days: number): Promise<Record<string, string>> {
  const { exitCode, stdout, stderr } = await run(scope, 'faketime', ['-m', '-f', `-${days}d`, 'env'], {
    env: { PATH: process.env.PATH },
  })
  assert.equal(exitCode, 0, stderr)
  const preload = /^LD_PRELOAD=(.+)$/m.exec(stdout)?.[1] ?? ''
  assert.notEqual(preload, '')
  return { LD_PRELOAD: preload, FAKETIME: `-${days}d`, FAKETIME_DONT_FAKE_MONOTONIC: '1' }
}
