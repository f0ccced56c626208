// Relays that are killed, and the starts that follow: the folders of what has ended go, whoever else starts at the same time, and
// nothing else does. Costs 25 s of CPU.

import assert from 'node:assert/strict'
import {
  chownSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { after, describe, it } from 'node:test'
import { setTimeout as passed } from 'node:timers/promises'
import { CLI_FILE, isInstalled, RunningProcess, run } from '../support/cli-process.js'
import { describeOnEachRuntime, type TestRuntime } from '../support/runtimes.js'
import { createSession, type Session, type System, startSystem, TOKEN } from '../support/system.js'
import { type Scope, SharedScope } from '../support/temp-dir.js'
import { chooseActor, listTree } from '../support/unprivileged.js'

const setup = new SharedScope()
after(() => setup.end())
const system: System = await startSystem(setup)
const actor = chooseActor(setup)
const self = { ...actor, own: () => {} }
const isRoot = process.getuid?.() === 0

const skip = process.platform === 'linux' ? false : 'only Linux tells a process from those before it'
const skipNamespace =
  isRoot && (await isInstalled(setup, 'unshare', '--mount', '--pid', '--fork', '--mount-proc', 'true'))
    ? false
    : 'no namespace can be made here'

interface StartedRelay {
  readonly process: RunningProcess
  /** Its own folder. */
  readonly folder: string
}

interface RelayStart {
  /** A program that runs it, with its arguments. */
  readonly under?: readonly string[]
  readonly env?: Readonly<Record<string, string | undefined>>
}

/** Starts a relay with a new token, and waits for it to listen. */
async function startRelay(
  t: Scope,
  runtime: TestRuntime,
  session: Session,
  { under = [], env = {} }: RelayStart = {},
): Promise<StartedRelay> {
  const tokenFile = join(session.directory, `token-${Math.random()}`)
  writeFileSync(tokenFile, TOKEN, { mode: 0o600 })
  const [file = '', ...args] = [...under, runtime.path, CLI_FILE, 'relay', '--json']
  const given = { ...session.env, ...env, CCR_SESSION_TOKEN_PATH: tokenFile }
  const process = new RunningProcess(t, file, args, { env: given })
  const [line] = await process.until(/^.*\n/)
  const answer = JSON.parse(line) as { enabled: boolean; env: Record<string, string> }
  assert.ok(answer.enabled, process.stderr)
  return { process, folder: dirname(answer.env.SSL_CERT_FILE ?? '') }
}

async function kill({ process }: StartedRelay): Promise<void> {
  process.kill('SIGKILL')
  await process.ended
}

const namesOf = (...relays: readonly StartedRelay[]): string[] => relays.map(({ folder }) => basename(folder))
const ownerOf = ({ folder }: StartedRelay): string => readlinkSync(join(folder, 'owner'))

/** A shell that runs the rest, which ends with it, and then becomes a program that asks for no child's end. */
const NEGLIGENT = ['sh', '-c', 'setpriv --pdeathsig=KILL "$@" & exec sleep 1000', 'sh']

describeOnEachRuntime('a start after a kill', (runtime) => {
  it('removes the folders of what was killed, and nothing else', { skip }, async (t) => {
    const session = createSession(t, self, system.environment)
    const { temporary } = session
    const plant = (name: string, owner?: string): string => {
      const folder = join(temporary, `ccr-upstream-proxy-${name}`)
      mkdirSync(folder)
      if (owner !== undefined) symlinkSync(owner, join(folder, 'owner'))
      return basename(folder)
    }
    const foreign = join(session.directory, 'foreign')
    mkdirSync(foreign)
    writeFileSync(join(foreign, 'file'), 'kept')

    const living = await startRelay(t, runtime, session)
    const killed = await startRelay(t, runtime, session)
    const unreaped = await startRelay(t, runtime, session, { under: NEGLIGENT })
    const ofKilled = ownerOf(killed)
    symlinkSync(foreign, join(killed.folder, 'link'))
    await kill(killed)
    const [, , , pid = ''] = /^(\S+) (\S+) (\d+) /.exec(ownerOf(unreaped)) ?? []
    process.kill(Number(pid), 'SIGKILL')
    while (!/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))) await passed(1)

    const kept = [
      plant('unsigned'),
      plant('unreadable', 'nonsense'),
      plant('other-boot', ofKilled.replace(/^\S+/, '01234567-89ab-cdef-0123-456789abcdef')),
      plant('other-namespace', ofKilled.replace(/pid:\[\d+\]/, 'pid:[1]')),
    ]
    if (isRoot) {
      kept.push(plant('of-another-user', ofKilled))
      chownSync(join(temporary, 'ccr-upstream-proxy-of-another-user'), 54_321, 54_321)
    }
    symlinkSync(foreign, join(temporary, 'ccr-upstream-proxy-link'))
    // As a folder of a relay that was killed, but for being a link to one.
    symlinkSync(ofKilled, join(foreign, 'owner'))
    kept.push('ccr-upstream-proxy-link')
    // A process that has this number, and is another one.
    plant('reused', ofKilled.replace(/ \d+ (\d+)$/, ` ${process.pid} $1`))

    const started = await startRelay(t, runtime, session)
    assert.deepEqual(readdirSync(temporary).sort(), [...namesOf(living, started), ...kept].sort())
    assert.deepEqual(readdirSync(foreign).sort(), ['file', 'owner'])
    const status = await run(t, runtime.path, [CLI_FILE, 'status'], { env: session.env })
    assert.equal(status.exitCode, 0, status.stderr)
    for (const relay of [living, started]) {
      relay.process.kill('SIGTERM')
      const { exitCode, stderr } = await relay.process.ended
      assert.deepEqual([exitCode, stderr], [0, ''])
    }
  })

  it('is one of four at once, which do not stand in each other’s way', { skip }, async (t) => {
    const session = createSession(t, self, system.environment)
    for (let count = 0; count < 3; count++) {
      const killed = await startRelay(t, runtime, session)
      await kill(killed)
      // More than one step's work.
      for (let copy = 0; copy < 10; copy++)
        cpSync(killed.folder, `${killed.folder}${copy}`, {
          recursive: true,
          verbatimSymlinks: true,
          filter: isNoSocket,
        })
    }
    const starts = await Promise.all(Array.from({ length: 4 }, () => startRelay(t, runtime, session)))
    assert.deepEqual(readdirSync(session.temporary).sort(), namesOf(...starts).sort())
    for (const { process } of starts) process.kill('SIGTERM')
    for (const { process } of starts) assert.equal((await process.ended).stderr, '')
    assert.deepEqual(listTree(session.temporary), [])
  })

  describe('of a container', { skip: skipNamespace }, () => {
    it('frees the volume that it shares with a relay that lives, restart after restart', async (t) => {
      const session = createSession(t, self, system.environment)
      const mount = ['--mount', 'sh', '-c', 'mount -t tmpfs -o size=4m tmpfs "$TMPDIR" && echo mounted && exec cat']
      const volume = new RunningProcess(t, 'unshare', mount, { env: session.env })
      await volume.until(/mounted/)
      const inContainer = ['nsenter', '--mount', '--target', `${volume.pid}`]
      const under = [...inContainer, 'unshare', '--pid', '--fork', '--kill-child', '--mount-proc']
      // With a bundle as large as systems have: a handful of such folders fills the volume.
      const start = { under, env: { CCR_SYSTEM_CA_BUNDLE: undefined } }
      const neighbour = await startRelay(t, runtime, session, start)
      const folders = () => readdirSync(join(`/proc/${volume.pid}/root`, session.temporary)).sort()
      for (let restart = 0; restart < (runtime.kind === 'node' ? 25 : 5); restart++) {
        const relay = await startRelay(t, runtime, session, start)
        assert.deepEqual(folders(), namesOf(neighbour, relay).sort())
        await kill(relay)
      }
      const ask = [...inContainer.slice(1), runtime.path, CLI_FILE, 'status']
      const { exitCode, stderr } = await run(t, 'nsenter', ask, { env: session.env })
      assert.equal(exitCode, 0, stderr)
    })

    const skipHidden = actor.ids.uid === undefined ? 'only root can become another user' : false
    if (runtime.kind === 'node')
      it('leaves a relay alone that its /proc does not show', { skip: skipHidden }, async (t) => {
        const session = createSession(t, actor, system.environment)
        const { uid, gid } = actor.ids
        const ids = [`--reuid=${uid}`, `--regid=${gid}`, '--clear-groups']
        const script = [
          'mount -t proc -o hidepid=2 proc /proc',
          `exec setpriv ${ids.join(' ')} sh -c 'setpriv --pdeathsig=KILL "$@" relay > "$TMPDIR/first" & exec cat' sh "$@"`,
        ].join(' && ')
        const command = [actor.nodeFile, actor.cliFile]
        const args = ['--mount', 'sh', '-c', script, 'sh', ...command]
        const first = new RunningProcess(t, 'unshare', args, { env: session.env, cwd: session.directory })
        const names = () => readdirSync(session.temporary).filter((name) => name !== 'first')
        const enter = ['--mount', '--target', `${first.pid}`, 'setpriv', ...ids]
        const status = () => run(t, 'nsenter', [...enter, ...command, 'status'], { env: session.env })
        while ((await status()).exitCode !== 0) assert.ok(first.stderr === '', first.stderr)
        const [living = ''] = names()
        // Where the first one had its token it would take this one too.
        const tokenFile = join(session.directory, 'second-token')
        writeFileSync(tokenFile, TOKEN, { mode: 0o600 })
        actor.own(tokenFile)
        const env = { ...session.env, CCR_SESSION_TOKEN_PATH: tokenFile }
        const second = new RunningProcess(t, 'nsenter', [...enter, ...command, 'relay'], { env })
        await second.until(/HTTPS_PROXY/)
        assert.ok(names().includes(living), 'the folder of the living relay is gone')
      })
  })
})

function isNoSocket(path: string): boolean {
  return basename(path) !== 'socket'
}
