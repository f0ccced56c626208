// The tools that a session's agent uses, through the whole system: git, npm, Python. Each gets nothing but the relay's
// environment.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { isInstalled, type Outcome, run } from '../support/cli-process.js'
import { startGitOrigin } from '../support/git-origin.js'
import { startNpmRegistry } from '../support/npm-registry.js'
import type { Origin } from '../support/origin.js'
import { INJECTION, RULED_HOST, SECRET, type System, startSystem } from '../support/system.js'
import { createTempDirectory, SharedScope } from '../support/temp-dir.js'
import { type RelaySession, startRelaySession } from './relay-session.js'

const GIT_HOST = 'git.example.test'
const REGISTRY_HOST = 'registry.example.test'

const setup = new SharedScope()
const [hasGit, hasNpm, hasPython, hasRequests] = await Promise.all([
  isInstalled(setup, 'git', 'http-backend', '--help').then((has) => has && isInstalled(setup, 'git')),
  isInstalled(setup, 'npm'),
  isInstalled(setup, 'python3'),
  isInstalled(setup, 'python3', '-c', 'import requests'),
])
const unless = (isThere: boolean, tool: string): string | false => (isThere ? false : `${tool} is not installed`)

describe('behind relay and gateway', { timeout: 1_800_000 }, () => {
  let system: System
  let session: RelaySession
  let registry: Origin
  /** The commit at the head of the served repository. */
  let commit = ''

  before(async () => {
    const projectRoot = createTempDirectory(setup, 'git')
    if (hasGit) commit = await createRepository(projectRoot)
    const git = await startGitOrigin(setup, {
      host: GIT_HOST,
      projectRoot,
      authorization: `Bearer ${SECRET}`,
    })
    const tarball = hasNpm ? await packTinyPackage() : Buffer.alloc(0)
    registry = await startNpmRegistry(setup, REGISTRY_HOST, {
      name: 'tiny-package',
      version: '1.0.0',
      tarball,
    })
    system = await startSystem(setup, {
      origins: { [GIT_HOST]: git, [REGISTRY_HOST]: registry.address },
      hosts: { [GIT_HOST]: INJECTION },
    })
    session = await startRelaySession(setup, system)
  })
  after(() => setup.end())

  const inSession = (program: string, ...args: string[]): Promise<Outcome> => {
    return run(setup, program, args, { env: session.clientEnv, cwd: session.directory })
  }

  it('git ls-remote shows the refs of a repository that wants a credential', {
    skip: unless(hasGit, 'git'),
  }, async () => {
    const { exitCode, stdout, stderr } = await inSession('git', 'ls-remote', `https://${GIT_HOST}/project.git`)
    assert.equal(exitCode, 0, stderr)
    assert.match(stdout, new RegExp(`^${commit}\tHEAD$`, 'm'))
  })

  it('git clones it and pushes to it', { skip: unless(hasGit, 'git') }, async () => {
    const cloned = await inSession('git', 'clone', `https://${GIT_HOST}/project.git`, 'clone')
    assert.equal(cloned.exitCode, 0, cloned.stderr)
    assert.equal(readFileSync(join(session.directory, 'clone/README'), 'utf8'), 'a project\n')
    const git = (...args: string[]) =>
      inSession('git', '-C', 'clone', '-c', 'user.name=t', '-c', 'user.email=t@t', ...args)
    // More than http.postBuffer, so that git uploads it in chunks.
    writeFileSync(join(session.directory, 'clone/large'), randomBytes(3 * 1024 * 1024))
    for (const args of [
      ['add', 'large'],
      ['commit', '-q', '-m', 'add'],
      ['push', '-q'],
    ]) {
      const { exitCode, stderr } = await git(...args)
      assert.equal(exitCode, 0, `${args}: ${stderr}`)
    }
    const head = (await git('rev-parse', 'HEAD')).stdout.trim()
    const { stdout } = await inSession('git', 'ls-remote', `https://${GIT_HOST}/project.git`, 'HEAD')
    assert.equal(stdout, `${head}\tHEAD\n`)
  })

  it('npm installs a package', { skip: unless(hasNpm, 'npm') }, async () => {
    mkdirSync(join(session.directory, 'app'))
    writeFileSync(join(session.directory, 'app/package.json'), '{"name":"app","version":"1.0.0"}')
    const { exitCode, stderr } = await inSession(
      'npm',
      'install',
      'tiny-package',
      '--prefix=app',
      `--registry=https://${REGISTRY_HOST}/`,
      '--no-audit',
      '--no-fund',
      '--no-update-notifier',
      '--fetch-retries=0',
      `--globalconfig=${join(session.directory, 'no-npmrc')}`,
    )
    assert.equal(exitCode, 0, stderr)
    const manifest = readFileSync(join(session.directory, 'app/node_modules/tiny-package/package.json'), 'utf8')
    assert.equal((JSON.parse(manifest) as { version: string }).version, '1.0.0')
    assert.deepEqual(
      registry.requests.map(({ path }) => path),
      ['/tiny-package', '/tiny-package/-/tiny-package-1.0.0.tgz'],
    )
  })

  const url = `https://${RULED_HOST}/from-python`

  it("Python's urllib gets the injected credential", { skip: unless(hasPython, 'python3') }, async () => {
    const script = `import urllib.request; print(urllib.request.urlopen('${url}').read().decode())`
    const { exitCode, stdout, stderr } = await inSession('python3', '-c', script)
    assert.equal(exitCode, 0, stderr)
    assert.ok(stdout.includes(`Bearer ${SECRET}`), stdout)
  })

  it("Python's requests gets the injected credential", {
    skip: unless(hasRequests, 'requests for Python'),
  }, async () => {
    const { exitCode, stdout, stderr } = await inSession(
      'python3',
      '-c',
      `import requests; print(requests.get('${url}').text)`,
    )
    assert.equal(exitCode, 0, stderr)
    assert.ok(stdout.includes(`Bearer ${SECRET}`), stdout)
  })
})

/** A bare repository with one commit at `projectRoot`/project.git; resolves to the commit. */
async function createRepository(projectRoot: string): Promise<string> {
  const env = { PATH: process.env.PATH, HOME: projectRoot, GIT_CONFIG_NOSYSTEM: '1' }
  const work = createTempDirectory(setup, 'git-work')
  writeFileSync(join(work, 'README'), 'a project\n')
  const git = async (...args: string[]): Promise<string> => {
    const { exitCode, stdout, stderr } = await run(setup, 'git', args, { env, cwd: work })
    assert.equal(exitCode, 0, `${args}: ${stderr}`)
    return stdout.trim()
  }
  await git('init', '-q', '-b', 'main')
  await git('add', 'README')
  await git('-c', 'user.name=t', '-c', 'user.email=t@t', 'commit', '-q', '-m', 'begin')
  await git('clone', '-q', '--bare', work, join(projectRoot, 'project.git'))
  return git('rev-parse', 'HEAD')
}

/** The tarball of a package without code, as `npm pack` makes it. */
async function packTinyPackage(): Promise<Buffer> {
  const folder = createTempDirectory(setup, 'tiny')
  writeFileSync(join(folder, 'package.json'), '{"name":"tiny-package","version":"1.0.0"}')
  const env = { PATH: process.env.PATH, HOME: folder, npm_config_update_notifier: 'false' }
  const { exitCode, stderr } = await run(setup, 'npm', ['pack', '--silent'], { env, cwd: folder })
  assert.equal(exitCode, 0, stderr)
  return readFileSync(join(folder, 'tiny-package-1.0.0.tgz'))
}
