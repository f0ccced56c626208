// A process of the same user tries to look into one that holds the token and has used it. Each attack succeeds on the
// same program where it was told not to harden itself.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, watch } from 'node:fs'
import { join } from 'node:path'
import { after, before, it } from 'node:test'
import { MARK, openStage, type RunningVictim, type Stage, TOKEN_FORMS } from '../support/attack.js'
import { RunningProcess } from '../support/cli-process.js'
import { describeOnEachRuntime } from '../support/runtimes.js'
import { createTempDirectory, SharedScope } from '../support/temp-dir.js'

const setup = new SharedScope()
const stage = process.platform === 'linux' ? await openStage(setup) : undefined
after(() => setup.end())

/** Why an attack cannot be tried here; false when it can. */
function whyNot(program: string, isThere: boolean | undefined): string | false {
  if (stage === undefined) return 'only Linux hardens'
  if (stage.actor.isRoot) return 'root may look into every process'
  if (yamaScope() !== '0') return `Yama keeps processes of one user apart here (ptrace_scope ${yamaScope()})`
  return isThere ? false : `${program} is not installed`
}

function yamaScope(): string {
  const file = '/proc/sys/kernel/yama/ptrace_scope'
  return existsSync(file) ? readFileSync(file, 'latin1').trim() : '0'
}

const skipPython = whyNot('python3', await stage?.canRun('python3', '--version'))
const skipGdb = whyNot('gdb', await stage?.canRun('gdb', '--version'))
const skipGcore = skipGdb || whyNot('gcore', await stage?.canRun('sh', '-c', 'command -v gcore'))
const skipStrace = whyNot('strace', await stage?.canRun('strace', '-V'))

interface Attack {
  readonly title: string
  /** A name in attacker.py. */
  readonly name: string
  readonly needles: readonly string[]
  readonly denied: string
}

const ATTACKS: readonly Attack[] = [
  { title: 'a scan of /proc/PID/mem', name: 'memory', needles: TOKEN_FORMS, denied: 'EACCES' },
  { title: 'a scan of /proc/PID/task/TID/mem', name: 'memory-of-thread', needles: TOKEN_FORMS, denied: 'EACCES' },
  { title: 'opening /proc/PID/mem for writing', name: 'memory-for-writing', needles: [MARK], denied: 'EACCES' },
  { title: 'process_vm_readv', name: 'process-vm-readv', needles: TOKEN_FORMS, denied: 'EPERM' },
  { title: 'PTRACE_SEIZE', name: 'ptrace-seize', needles: [MARK], denied: 'EPERM' },
  { title: 'reading /proc/PID/environ', name: 'environ', needles: [MARK], denied: 'EACCES' },
  { title: 'maps, auxv, exe, cwd and the like in /proc/PID', name: 'proc-files', needles: [MARK], denied: 'EACCES' },
  { title: 'reopening /proc/PID/fd', name: 'descriptors', needles: [MARK], denied: 'EACCES' },
  { title: 'pidfd_getfd', name: 'pidfd-getfd', needles: [MARK], denied: 'EPERM' },
]

describeOnEachRuntime('keeps out its own user:', (runtime) => {
  const scope = new SharedScope()
  let exposed: RunningVictim
  let relay: RunningVictim
  let library: RunningVictim

  before(async () => {
    if (skipPython && skipGdb && skipStrace) return
    const scene = stage as Stage
    ;[exposed, relay, library] = await Promise.all([
      scene.start(scope, runtime, { exposed: true }),
      scene.start(scope, runtime),
      scene.start(scope, runtime, { kind: 'library' }),
    ])
  })
  after(() => scope.end())

  for (const { title, name, needles, denied } of ATTACKS) {
    it(title, { skip: skipPython }, async (t) => {
      const attack = (pid: number): Promise<string> => (stage as Stage).attack(t, name, pid, needles)
      const control = await attack(exposed.pid)
      if (isDeniedBySeccomp(control)) return t.skip(`a seccomp filter forbids it here: ${control}`)
      assert.equal(control, 'found')
      assert.equal(await attack(relay.pid), `denied ${denied}`)
      assert.equal(await attack(library.pid), `denied ${denied}`)
    })
  }

  it('gdb', { skip: skipGdb }, async (t) => {
    const attach = async (pid: number) => {
      const args = ['-nx', '-batch', '-p', `${pid}`, '-ex', 'print $pc']
      return (stage as Stage).run(t, 'gdb', ['-iex', 'set auto-solib-add off', ...args])
    }
    assert.match((await attach(exposed.pid)).stdout, /^\$1 = /m)
    for (const { pid } of [relay, library]) {
      const { stdout, stderr } = await attach(pid)
      assert.match(stderr, /Operation not permitted/)
      assert.doesNotMatch(stdout, /^\$1 = /m)
    }
  })

  it('gcore', { skip: skipGcore }, async (t) => {
    const folder = createTempDirectory(t, 'gcore')
    const scene = stage as Stage
    scene.actor.own(folder)
    const dump = (pid: number) => scene.run(t, 'gcore', ['-o', join(folder, 'core'), `${pid}`])
    for (const { pid } of [relay, library]) {
      assert.match((await dump(pid)).stderr, /Operation not permitted/)
      assert.deepEqual(readdirSync(folder), [])
    }
    // That it writes is enough: gdb takes a minute for the gigabytes that a runtime reserves.
    const watcher = watch(folder)
    t.after(() => watcher.close())
    const written = once(watcher, 'change')
    const control = scene.spawn(t, 'gcore', ['-o', join(folder, 'core'), `${exposed.pid}`])
    await Promise.race([written, control.ended])
    assert.deepEqual(readdirSync(folder), [`core.${exposed.pid}`])
    await scene.end({ process: control })
  })

  it('strace -p', { skip: skipStrace }, async (t) => {
    const attach = (pid: number) => (stage as Stage).spawn(t, 'strace', ['-f', '-p', `${pid}`])
    const control = attach(exposed.pid)
    await control.until(/strace: Process \d+ attached/, 'stderr')
    control.kill('SIGINT')
    await control.ended
    for (const { pid } of [relay, library]) {
      const { exitCode, stderr } = await attach(pid).ended
      assert.match(stderr, /Operation not permitted/)
      assert.equal(exitCode, 1)
    }
  })

  it('and works on as if nothing had been', { skip: skipPython }, async () => {
    for (const victim of [relay, library]) {
      await (stage as Stage).use(victim)
      assert.equal(victim.process.stderr, '')
    }
  })

  // Root may, and then the token is where it is said to be: the searches above look for the right thing.
  const skipRoot = skipPython || (process.getuid?.() === 0 ? false : 'only root sees it')
  it('though root finds the token in memory', { skip: skipRoot }, async (t) => {
    const attacker = new URL('../../attack/attacker.py', import.meta.url).pathname
    for (const { pid } of [relay, library]) {
      const options = { env: { PATH: process.env.PATH }, input: TOKEN_FORMS.join('\n') }
      const { stdout } = await new RunningProcess(t, 'python3', [attacker, 'memory', `${pid}`], options).ended
      assert.equal(stdout, 'found\n')
    }
  })
})

/** Docker's default profile forbids pidfd_getfd(2), for one, whoever asks. */
function isDeniedBySeccomp(outcome: string): boolean {
  const isFiltered = /^Seccomp:\s+2/m.test(readFileSync('/proc/self/status', 'latin1'))
  return outcome === 'denied ENOSYS' || (outcome === 'denied EPERM' && isFiltered)
}
