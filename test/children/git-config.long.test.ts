// GIT_CONFIG_COUNT: what git makes of it.

import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { createChildEnvironment } from '#src/system/children/child-env.js'
import { isInstalled, run } from '../support/cli-process.js'
import { SharedScope } from '../support/temp-dir.js'
import { TARGETS, withChoice } from './child-targets.js'

const setup = new SharedScope()
const hasGit = await isInstalled(setup, 'git')
after(() => setup.end())

describe('GIT_CONFIG_COUNT', { skip: !hasGit && 'git is not installed' }, () => {
  const targets = withChoice({ gitHttpsHosts: ['git.example'] })

  test('says HTTP/1.1, and stays as it is where it is excepted', async (t) => {
    const env = { PATH: process.env.PATH, ...createChildEnvironment(TARGETS, {}) }
    const { stdout } = await run(t, 'git', ['config', 'http.version'], { env })
    assert.equal(stdout, 'HTTP/1.1\n')
    const excepted = createChildEnvironment(withChoice({ except: ['GIT_CONFIG_COUNT'] }), { GIT_CONFIG_COUNT: '1' })
    assert.deepEqual(
      Object.keys(excepted).filter((name) => name.startsWith('GIT_CONFIG')),
      [],
    )
  })

  for (const address of ['git@git.example:a/b.git', 'ssh://git@git.example/a/b.git']) {
    test(`makes git take HTTPS for ${address}, and keeps what was there`, async (t) => {
      const inherited = {
        GIT_CONFIG_COUNT: '1',
        GIT_CONFIG_KEY_0: 'user.name',
        GIT_CONFIG_VALUE_0: 'somebody',
      }
      const env = { PATH: process.env.PATH, ...inherited, ...createChildEnvironment(targets, inherited) }
      const ask = async (...args: string[]) => (await run(t, 'git', args, { env })).stdout.trim()
      assert.equal(await ask('ls-remote', '--get-url', address), 'https://git.example/a/b.git')
      assert.equal(await ask('ls-remote', '--get-url', 'git@other.example:a/b.git'), 'git@other.example:a/b.git')
      assert.equal(await ask('config', 'user.name'), 'somebody')
    })
  }
})
