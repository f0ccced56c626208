// `env`: what a shell gets that was started without the relay's environment.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { RelayStatus } from '#src/index.js'
import { readStatus } from '#src/runtime/status-socket.js'
import type { RelayRecord } from '#src/system/relay-record.js'
import { CLI_FILE, type Outcome, RunningProcess, run } from '../support/cli-process.js'
import { createSession, type Session, type System, startSystem, TOKEN } from '../support/system.js'
import { type Scope, SharedScope } from '../support/temp-dir.js'
import { chooseActor } from '../support/unprivileged.js'

const setup = new SharedScope()
const actor = chooseActor(setup)
const PATH = process.env.PATH ?? ''
/** A quotation mark, what a shell would run, and what fish and dotenv would take for an escape. */
const ODD = `it's;$(id)\\"$HOME`

function replaceBy(file: string, make: () => void): void {
  rmSync(file)
  make()
}

describe('env', { timeout: 1_800_000 }, () => {
  let system: System
  before(async () => {
    system = await startSystem(setup)
  })
  after(() => setup.end())

  function ask({ temporary }: Session, args: string[], more: Record<string, string> = {}): Promise<Outcome> {
    const env = { PATH, TMPDIR: temporary, ...more }
    return run(setup, actor.nodeFile, [actor.cliFile, 'env', ...args], { ...actor.ids, env })
  }

  async function startRelay(t: Scope, session = createSession(t, actor, system.environment), ...args: string[]) {
    const command = [actor.cliFile, 'relay', '--json', ...args]
    const relay = new RunningProcess(t, actor.nodeFile, command, { ...actor.ids, env: session.env })
    const [line] = await relay.until(/^.*\n/)
    return { session, relay, answer: JSON.parse(line) as { port: number; env: Record<string, string> } }
  }

  function readRecord({ temporary }: Session): RelayRecord {
    const [folder = ''] = readdirSync(temporary)
    return JSON.parse(readFileSync(join(temporary, folder, 'record', 'relay.json'), 'utf8')) as RelayRecord
  }

  it('is the same as what the relay printed', async (t) => {
    const { session, answer } = await startRelay(t)
    const { exitCode, stdout } = await ask(session, ['--format', 'json'])
    assert.equal(exitCode, 0)
    assert.deepEqual(JSON.parse(stdout), answer.env)
  })

  it('can be asked for without the relay counting a client', async (t) => {
    const { session, answer } = await startRelay(t)
    assert.equal((await ask(session, [])).exitCode, 0)
    const { statusSocket = '' } = readRecord(session)
    const { tunnels } = (JSON.parse(await readStatus(statusSocket)) as RelayStatus).statistics
    assert.deepEqual([tunnels.accepted, tunnels.refused], [0, {}])
    // Without its socket there is only the port to ask.
    rmSync(statusSocket)
    assert.equal((await ask(session, ['--port', `${answer.port}`])).exitCode, 0)
  })

  it('is taken by a shell, and extends what the shell has', async (t) => {
    const { session, answer } = await startRelay(t)
    const { stdout: lines } = await ask(session, [], { PHP_INI_SCAN_DIR: ODD, NO_PROXY: 'shell.example' })
    const script = 'eval "$LINES_OF_ENV"; printf "%s\\n%s\\n%s" "$HTTPS_PROXY" "$NO_PROXY" "$PHP_INI_SCAN_DIR"'
    const { stdout } = await run(t, 'sh', ['-c', script], { env: { PATH, LINES_OF_ENV: lines } })
    const [proxy, noProxy = '', php = ''] = stdout.split('\n')
    assert.equal(proxy, `http://127.0.0.1:${answer.port}`)
    assert.ok(noProxy.endsWith(',shell.example'))
    assert.ok(php.startsWith(`${ODD}:/`), php)
  })

  it('has a line for each variable for GitHub, dotenv and fish, with what they would take apart in their own quotes', async (t) => {
    const { session, answer } = await startRelay(t)
    const inherited = { PHP_INI_SCAN_DIR: ODD }
    const linesOf = async (format: string) =>
      (await ask(session, ['--format', format], inherited)).stdout.trim().split('\n')
    const names = Object.keys(answer.env).length
    const github = await linesOf('github')
    assert.equal(github.length, names - 1)
    assert.ok(!github.some((line) => line.startsWith('NODE_OPTIONS')), 'the runner refuses it')
    assert.ok(github.some((line) => line.startsWith(`PHP_INI_SCAN_DIR=${ODD}:/`)))
    const dotenv = await linesOf('dotenv')
    assert.equal(dotenv.length, names)
    assert.ok(dotenv.includes(`HTTPS_PROXY='http://127.0.0.1:${answer.port}'`))
    assert.ok(dotenv.some((line) => line.startsWith(`PHP_INI_SCAN_DIR="it's;\\$(id)\\\\\\"\\$HOME:/`)))
    const fish = await linesOf('fish')
    assert.equal(fish.length, names)
    assert.ok(fish.some((line) => line.startsWith(`set -gx PHP_INI_SCAN_DIR 'it\\'s;$(id)\\\\"$HOME:/`)))
  })

  it('is of the latest relay, or of the one on --port', async (t) => {
    const first = await startRelay(t)
    const own = createSession(t, actor, system.environment)
    const { temporary } = first.session
    const second = await startRelay(t, { ...own, temporary, env: { ...own.env, TMPDIR: temporary } })
    const portOf = async (...args: string[]) => {
      const { stdout } = await ask(first.session, ['--format', 'json', ...args])
      return new URL((JSON.parse(stdout) as { HTTPS_PROXY: string }).HTTPS_PROXY).port
    }
    assert.equal(await portOf(), `${second.answer.port}`)
    assert.equal(await portOf('--port', `${first.answer.port}`), `${first.answer.port}`)
  })

  it('is not of a relay with another TMPDIR, unless it is the one on --port', async (t) => {
    const own = createSession(t, actor, system.environment)
    const elsewhere = await startRelay(t, { ...own, temporary: '/tmp', env: { ...own.env, TMPDIR: '/tmp' } })
    assert.equal((await ask(own, [])).exitCode, 3)
    const { exitCode, stdout } = await ask(own, ['--port', `${elsewhere.answer.port}`])
    assert.deepEqual([exitCode, stdout.includes(`:${elsewhere.answer.port}`)], [0, true])
    elsewhere.relay.kill('SIGTERM')
    await elsewhere.relay.ended
  })

  it('exits with 3 and a hint where no relay runs, also behind one that was killed', async (t) => {
    const { session, relay } = await startRelay(t)
    relay.kill('SIGKILL')
    await relay.ended
    assert.notDeepEqual(readdirSync(session.temporary), [])
    const { exitCode, stdout, stderr } = await ask(session, [])
    assert.deepEqual([exitCode, stdout], [3, ''])
    assert.match(stderr, /^ccr-upstream-proxy: error \[relay-not-found\] .*; hint: .*\n$/)
  })

  for (const [folder, mode] of [
    ['.', 0o775],
    ['record', 0o750],
  ] as const) {
    it(`does not believe a record whose folder ${folder} is open to others`, async (t) => {
      const { session } = await startRelay(t)
      const [own = ''] = readdirSync(session.temporary)
      chmodSync(join(session.temporary, own, folder), mode)
      assert.equal((await ask(session, [])).exitCode, 3)
    })
  }

  const DAMAGED: readonly (readonly [title: string, damage: (file: string) => void])[] = [
    ['is cut off', (file) => truncateSync(file, 100)],
    ['is of another release', (file) => writeFileSync(file, '{"version":2}')],
    ['has no addresses', (file) => writeFileSync(file, '{"version":1,"pid":1,"port":1,"startedAt":1}')],
    ['is a pipe', (file) => replaceBy(file, () => spawnSync('mkfifo', [file]))],
    ['is a link', (file) => replaceBy(file, () => symlinkSync('/etc/passwd', file))],
    ['is a file of gigabytes', (file) => truncateSync(file, 2 ** 40)],
  ]
  for (const [title, damage] of DAMAGED) {
    it(`says that a record ${title}`, async (t) => {
      const { session } = await startRelay(t)
      const [folder = ''] = readdirSync(session.temporary)
      damage(join(session.temporary, folder, 'record', 'relay.json'))
      const { exitCode, stdout, stderr } = await ask(session, [])
      assert.deepEqual([exitCode, stdout], [3, ''])
      assert.match(stderr, /^ccr-upstream-proxy: error \[relay-record-damaged\] \S+\/record\/relay\.json is /)
    })
  }

  const skip = process.getuid?.() === 0 ? false : 'only root can give a folder to somebody else'
  it("does not believe somebody else's record", { skip }, async (t) => {
    const { session } = await startRelay(t)
    const [folder = ''] = readdirSync(session.temporary)
    const record = readFileSync(join(session.temporary, folder, 'record', 'relay.json'), 'utf8')
    const other = createSession(t, actor, {})
    const forged = join(other.temporary, 'ccr-upstream-proxy-forged')
    const folders = [forged, join(forged, 'record')]
    for (const path of folders) mkdirSync(path, { mode: 0o700 })
    // A relay answers on its port, so that nothing but the owner speaks against it.
    const file = join(forged, 'record', 'relay.json')
    writeFileSync(file, record, { mode: 0o600 })
    assert.equal((await ask(other, [])).exitCode, 3)
    actor.own(...folders, file)
    assert.equal((await ask(other, [])).exitCode, actor.ids.uid === undefined ? 3 : 0)
  })

  it('comes from a record that only its user can read, without the token', async (t) => {
    const { session } = await startRelay(t)
    const [folder = ''] = readdirSync(session.temporary)
    const file = join(session.temporary, folder, 'record', 'relay.json')
    assert.equal((statSync(file).mode & 0o777).toString(8), '600')
    assert.ok(!readFileSync(file, 'utf8').includes(TOKEN))
  })

  for (const args of [['--format', 'csv'], ['--port', 'x'], ['more']]) {
    it(`is a usage error with ${args.join(' ')}`, async (t) => {
      const { exitCode, stderr } = await run(t, process.execPath, [CLI_FILE, 'env', ...args], { env: { PATH } })
      assert.equal(exitCode, 2)
      assert.match(stderr, /see ccr-upstream-proxy env --help/)
    })
  }
})
