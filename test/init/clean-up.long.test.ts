// The end of a proxy whose private folder was spoilt by a child: everything goes that can, the token first, and what is left is
// a warning; it keeps nobody from ending, and is not the command's failure.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { after, it } from 'node:test'
import { openStage } from '../support/attack.js'
import { isInstalled, RunningProcess, run } from '../support/cli-process.js'
import { type EnabledReport, ProxyProcess, parseWarnings, type Report } from '../support/proxy-process.js'
import { describeOnEachRuntime } from '../support/runtimes.js'
import { createSession, type Session } from '../support/system.js'
import { createTempDirectory, type Scope, SharedScope } from '../support/temp-dir.js'

const PROGRAM = new URL('../support/proxy-program.js', import.meta.url)

const setup = new SharedScope()
after(() => setup.end())
const stage = await openStage(setup)
const isRoot = process.getuid?.() === 0

interface Spoiler {
  readonly title: string
  readonly spoil: (scope: Scope, folder: string) => void
  /** Names in the folder that stay. */
  readonly left: readonly string[]
  readonly skip: string | false
}

const SPOILERS: readonly Spoiler[] = [
  {
    title: 'a child has taken all rights from its folders',
    spoil: (_scope, folder) => {
      for (const path of [join(folder, 'status'), folder]) chmodSync(path, 0)
    },
    left: [],
    skip: false,
  },
  {
    title: 'its folder holds a folder of another user',
    spoil: (_scope, folder) => {
      mkdirSync(join(folder, 'foreign'))
      writeFileSync(join(folder, 'foreign', 'file'), '')
    },
    left: ['foreign'],
    skip: isRoot && stage.actor.ids.uid !== undefined ? false : 'only root makes folders of two users',
  },
  {
    title: 'its folder holds an immutable file',
    spoil: (scope, folder) => {
      const file = join(folder, 'immutable')
      writeFileSync(file, '')
      chattr('+i', file)
      scope.after(() => void chattr('-i', file))
    },
    left: ['immutable'],
    skip: canMakeImmutable() ? false : 'no file can be made immutable here',
  },
]

function chattr(attribute: string, file: string): boolean {
  return spawnSync('chattr', [attribute, file]).status === 0
}

function canMakeImmutable(): boolean {
  const file = join(createTempDirectory(setup), 'file')
  writeFileSync(file, '')
  return chattr('+i', file) && chattr('-i', file)
}

/** What came last is tidied up first: an immutable file before its folder. */
function scopeOf(t: Scope): SharedScope {
  const scope = new SharedScope()
  t.after(() => scope.end())
  return scope
}

/** What the session's temporary folder still holds, one level below the proxy's own folder. */
function leftIn({ temporary }: Session): string[] {
  return readdirSync(temporary).flatMap((name) => readdirSync(join(temporary, name)))
}

function assertWarned(stderr: string, left: readonly string[]): void {
  const warnings = parseWarnings(stderr)
  assert.deepEqual(
    warnings.map(({ code }) => code),
    left.map(() => 'files-not-removed'),
  )
  for (const [index, name] of left.entries()) assert.match(warnings[index]?.message ?? '', new RegExp(`/${name}`))
}

/** KiB of the process that are locked into memory: on Linux the token's page, and nothing else. */
function lockedKib(pid: number): number {
  return Number(/^VmLck:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1])
}

describeOnEachRuntime('the end of a spoilt folder', (runtime) => {
  for (const { title, spoil, left, skip } of SPOILERS) {
    for (const thread of ['worker', 'main']) {
      it(`close() resolves and wipes the token when ${title}: ${thread}`, { skip }, async (t) => {
        const scope = scopeOf(t)
        const session = createSession(scope, stage.actor, stage.system.environment)
        const args = [stage.actor.programFile(PROGRAM), stage.actor.packageUrl, JSON.stringify({ thread })]
        const program = new ProxyProcess(scope, await stage.binaryOf(runtime), args, {
          ...stage.actor.ids,
          cwd: session.directory,
          env: session.env,
        })
        const report = await program.next<Report & EnabledReport>()
        assert.equal(report.enabled, true, program.stderr)
        const isLinux = process.platform === 'linux'
        if (isLinux) assert.ok(lockedKib(program.pid) > 0)
        spoil(scope, dirname(report.caBundlePath))

        assert.equal(await program.ask('close 0'), null)
        if (isLinux) assert.equal(lockedKib(program.pid), 0)
        program.endInput()
        const { exitCode, stderr } = await program.ended
        assert.equal(exitCode, 0, stderr)
        assertWarned(stderr, left)
        assert.deepEqual(leftIn(session), left)
      })
    }

    for (const [how, end] of [
      ['ends by itself', (child: RunningProcess) => child.endInput()],
      ['is sent SIGTERM', (child: RunningProcess) => child.kill('SIGTERM')],
    ] as const) {
      it(`run ends with the command's code when ${title} and the command ${how}`, { skip }, async (t) => {
        const scope = scopeOf(t)
        const session = createSession(scope, stage.actor, stage.system.environment)
        const script = 'trap "exit 7" TERM; echo "<$SSL_CERT_FILE>"; read line; exit 7'
        const args = [stage.actor.cliFile, 'run', '--', 'sh', '-c', script]
        const child = new RunningProcess(scope, await stage.binaryOf(runtime), args, {
          ...stage.actor.ids,
          cwd: session.directory,
          env: session.env,
        })
        const [, bundle = ''] = await child.until(/<(.+)>\n/)
        spoil(scope, dirname(bundle))
        end(child)
        const { exitCode, stderr } = await child.ended
        assert.equal(exitCode, 7, stderr)
        assertWarned(stderr, left)
        assert.deepEqual(leftIn(session), left)
      })
    }
  }
})

const skipMount =
  isRoot && (await isInstalled(setup, 'unshare', '--mount', 'true')) ? false : 'no mount namespace can be made here'

describeOnEachRuntime('the end of a folder with a mount', (runtime) => {
  it('run leaves what is mounted there alone, and ends with the code', { skip: skipMount }, async (t) => {
    const session = createSession(t, { ...stage.actor, own: () => {} }, stage.system.environment)
    const foreign = join(session.directory, 'foreign')
    mkdirSync(foreign)
    writeFileSync(join(foreign, 'file'), 'kept')
    const script = `folder=$(dirname "$SSL_CERT_FILE")/mount; mkdir "$folder"; mount --bind '${foreign}' "$folder"; exit 7`
    const args = ['--mount', runtime.path, stage.actor.cliFile, 'run', '--', 'sh', '-c', script]
    const { exitCode, stderr } = await run(t, 'unshare', args, { env: session.env, cwd: session.directory })
    assert.equal(exitCode, 7, stderr)
    assertWarned(stderr, ['mount'])
    assert.ok(existsSync(join(foreign, 'file')), 'what was mounted is gone')
  })
})
