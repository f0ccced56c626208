// examples/github-actions: the steps of the workflow, one after the other, as a runner runs them.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, watch, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { isInstalled, run } from '../support/cli-process.js'
import { startGitOrigin } from '../support/git-origin.js'
import { INJECTION, SECRET, SESSION_ID, type System, TOKEN } from '../support/system.js'
import { createTempDirectory, type Scope, SharedScope } from '../support/temp-dir.js'
import { exampleFile, startExampleSystem } from './example.js'
import { type PackageRegistry, startPackageRegistry } from './package-registry.js'
import { runWorkflow, type StepOutcome } from './workflow-runner.js'

const GIT_HOST = 'git.example.com'
const setup = new SharedScope()
const tools = ['bash', 'curl', 'git', 'npm']
const installed = await Promise.all(tools.map((tool) => isInstalled(setup, tool)))
const missing = tools.filter((_, index) => !installed[index])

describe('the job of GitHub Actions', {
  skip: missing.length > 0 && `not installed: ${missing.join(', ')}`,
  timeout: 1_800_000,
}, () => {
  let system: System
  let registry: PackageRegistry

  before(async () => {
    const git = await startGitOrigin(setup, {
      host: GIT_HOST,
      projectRoot: await createRepository(),
      authorization: `Bearer ${SECRET}`,
    })
    ;[system, registry] = await Promise.all([
      startExampleSystem(setup, { origins: { [GIT_HOST]: git }, hosts: { [GIT_HOST]: INJECTION } }),
      startPackageRegistry(setup),
    ])
  })
  after(() => setup.end())

  async function runJob(scope: Scope, token: string) {
    const directory = createTempDirectory(scope, 'runner')
    const temporary = join(directory, 'tmp')
    mkdirSync(temporary)
    const { CCR_UPSTREAM_PROXY_GATEWAY_CA = '', CCR_SYSTEM_CA_BUNDLE = '' } = system.environment
    const steps = await runWorkflow({
      file: exampleFile('github-actions/workflow.yml'),
      directory,
      machine: {
        PATH: `${join(directory, 'npm/bin')}:${process.env.PATH}`,
        HOME: directory,
        TMPDIR: temporary,
        ...registry.environment,
        npm_config_prefix: join(directory, 'npm'),
        // Of a machine whose own store has the test's roots.
        CCR_UPSTREAM_PROXY_GATEWAY_CA,
        CCR_SYSTEM_CA_BUNDLE,
      },
      secrets: { CCR_SESSION_TOKEN: token },
      vars: { CCR_GATEWAY_URL: system.environment.CCR_UPSTREAM_PROXY_URL ?? '', CCR_SESSION_ID: SESSION_ID },
    })
    return { directory, temporary, steps }
  }

  const named = (steps: readonly StepOutcome[], name: string): StepOutcome => {
    const found = steps.find((step) => step.name === name)
    assert.ok(found !== undefined, `${name} was not run`)
    return found
  }

  it('calls the API and clones with credentials that the job never has, and leaves nothing behind', async (t) => {
    const { directory, temporary, steps } = await runJob(t, TOKEN)
    for (const { name, exitCode, output } of steps) assert.equal(exitCode, 0, `${name}: ${output}`)
    assert.ok(named(steps, 'Call an API').output.includes(`Bearer ${SECRET}`))
    assert.equal(readFileSync(join(directory, 'workspace/project/README'), 'utf8'), 'a project\n')
    assert.ok(!existsSync(join(directory, 'temp/session_token')))
    assert.ok(!steps.some(({ output }) => output.includes(TOKEN)))
    await untilEmpty(temporary)
  })

  it('fails at the start with the reason when the token is wrong, and still runs its last step', async (t) => {
    const { steps } = await runJob(t, '')
    const start = named(steps, 'Start the proxy')
    assert.equal(start.exitCode, 1)
    assert.match(start.output, / \[token-empty\] /)
    assert.deepEqual(steps.map(({ name }) => name).slice(-2), ['Start the proxy', 'Stop the proxy'])
  })
})

/** The relay's folder is the last thing that it takes away. */
async function untilEmpty(folder: string): Promise<void> {
  const watcher = watch(folder)
  while (readdirSync(folder).length > 0) await once(watcher, 'change')
  watcher.close()
}

/** A folder with a bare repository of one commit. */
async function createRepository(): Promise<string> {
  const folder = createTempDirectory(setup, 'git')
  const git = async (...args: string[]) => {
    const env = { PATH: process.env.PATH, HOME: folder }
    const { exitCode, stderr } = await run(setup, 'git', ['-c', 'user.name=t', '-c', 'user.email=t@t', ...args], {
      env,
    })
    assert.equal(exitCode, 0, stderr)
  }
  const work = join(folder, 'work')
  await git('init', '--quiet', work)
  writeFileSync(join(work, 'README'), 'a project\n')
  await git('-C', work, 'add', 'README')
  await git('-C', work, 'commit', '--quiet', '--message', 'first')
  await git('clone', '--quiet', '--bare', work, join(folder, 'project.git'))
  return folder
}
