// How the doctor treats clients, with programs that stand for them: which it tries, what it says of those that cannot be
// tried, and that nothing of the user's is written. Real ones are in test/e2e/doctor.long.test.ts.

import assert from 'node:assert/strict'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it, type TestContext } from 'node:test'
import { CLIENT_NAMES } from '#src/doctor/client-table.js'
import { CLI_FILE, run } from '../support/cli-process.js'
import { IS_LARGE } from '../support/runtimes.js'
import { createSession, RULED_HOST, type Session, type System, startSystem } from '../support/system.js'
import { SharedScope } from '../support/temp-dir.js'
import type { Actor } from '../support/unprivileged.js'
import { type Check, diagnosisOf, runDoctor } from './doctor-process.js'

const self = { own: () => {} } as unknown as Actor
/** A client that does as told. */
const NODE = `exec '${process.execPath}' "$@"`

describe('a client', { concurrency: 2, timeout: 1_800_000 }, () => {
  const scope = new SharedScope()
  let system: System

  before(async () => {
    system = await startSystem(scope)
  })
  after(() => scope.end())

  interface Machine {
    /** Shell scripts by the name that they have on PATH. */
    readonly programs: Readonly<Record<string, string>>
    readonly args?: readonly string[]
    readonly env?: Readonly<Record<string, string>>
    readonly prepare?: (session: Session) => void
  }

  async function examine(t: TestContext, { programs, args = [], env = {}, prepare }: Machine): Promise<Check[]> {
    const session = createSession(t, self, system.environment)
    const bin = join(session.directory, 'bin')
    mkdirSync(bin)
    for (const [name, script] of Object.entries(programs))
      writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
    prepare?.(session)
    const { checks } = diagnosisOf(
      await runDoctor(t, {
        session,
        args: ['--json', '--url', `https://${RULED_HOST}/status/404`, ...args],
        env: { PATH: bin, ...env },
      }),
    )
    return checks.filter(({ id }) => id.startsWith('client '))
  }

  const outcomesOf = (checks: readonly Check[]) => checks.map(({ id, status, seen }) => [id, status, seen])

  it('is tried alone when it is named, and missed when it is not there', async (t) => {
    const checks = await examine(t, {
      programs: { node: NODE, curl: NODE, wget: NODE },
      args: ['--client', 'node', '--client', 'go'],
    })
    const seen = checks[0]?.seen ?? ''
    assert.match(seen, /answered through the tunnel/)
    assert.deepEqual(outcomesOf(checks), [
      ['client node', 'pass', seen],
      ['client go', 'skip', 'it is not on PATH'],
    ])
  })

  it('has to be one that is known', async (t) => {
    const args = [CLI_FILE, 'doctor', '--client', 'node', '--client', 'no de']
    const { exitCode, stdout, stderr } = await run(t, process.execPath, args, { env: {} })
    assert.deepEqual([exitCode, stdout], [2, ''])
    assert.ok(stderr.includes(`--client takes one of: ${CLIENT_NAMES.join(', ')}`), stderr)
  })

  it('that has no trial is found and skipped with what it reads', async (t) => {
    assert.deepEqual(outcomesOf(await examine(t, { programs: { dotnet: 'exit 1' } })), [
      ['client dotnet', 'skip', 'installed; there is no trial for it: it reads HTTPS_PROXY and SSL_CERT_FILE'],
    ])
  })

  it('is skipped where what its trial needs is missing: Java without a compiler', async (t) => {
    const words = [
      'Error: A JNI error has occurred, please check your installation and try again',
      'Exception in thread "main" java.lang.InternalError: Module jdk.compiler not in boot Layer',
    ]
    const says = words.map((line) => `echo '${line}' >&2`).join('\n')
    const java = `case $1 in -version) echo 'openjdk version "17.0.15"' >&2; exit 0 ;; esac\n${says}\nexit 1`
    const [found] = await examine(t, { programs: { java } })
    assert.equal(found?.status, 'skip')
    assert.match(found?.seen ?? '', /^it does not start: Error: A JNI error .*; it needs a JDK from version 11 on/)
  })

  it('fails when it starts and asks for nothing', async (t) => {
    const [found] = await examine(t, { programs: { java: 'echo version 21; echo Error: no route >&2; exit 1' } })
    assert.deepEqual([found?.status, found?.code, found?.seen], ['fail', 'client-not-proxied', '21: Error: no route'])
  })

  // The examination is compared with how it found the home, which is the session's folder, in runDoctor().
  const WRITES = `for folder in "$HOME" "$RUSTUP_HOME" "$GOPATH" "$npm_config_cache" "$XDG_STATE_HOME"
do [ -z "$folder" ] || /bin/mkdir -p "$folder/written"; done`
  it('writes nothing to the home of the user', async (t) => {
    const checks = await examine(t, { programs: { cargo: WRITES } })
    assert.deepEqual(
      checks.map(({ id }) => id),
      ['client cargo'],
    )
  })

  it('writes nothing to the folders that variables name', async (t) => {
    const folder = createSession(t, self, {}).directory
    const programs = { go: WRITES, npm: WRITES }
    const env = { GOPATH: join(folder, 'go'), npm_config_cache: join(folder, 'npm'), XDG_STATE_HOME: join(folder, 'x') }
    await examine(t, { programs, env })
    for (const path of Object.values(env)) assert.ok(!existsSync(path), path)
  })

  it('finds the toolchains of rustup where they are', async (t) => {
    const checks = await examine(t, {
      programs: { cargo: 'echo "error: $RUSTUP_HOME"; exit 1' },
      prepare: ({ directory }) => {
        mkdirSync(join(directory, '.rustup'))
        writeFileSync(join(directory, '.rustup/settings.toml'), 'version = "12"\n')
      },
    })
    assert.match(checks[0]?.seen ?? '', /\/ccr-session-[^/]+\/\.rustup$/)
  })

  it('has its version asked for when its trial is over', async (t) => {
    const curl = `case $1 in --version) [ -e tried ] && echo curl 8.9.1; exit 0 ;; esac\n/bin/sleep 0.5; : >tried; echo error; exit 1`
    const [found] = await examine(t, { programs: { curl } })
    assert.equal(found?.seen, '8.9.1: error')
  })

  if (!IS_LARGE) return
  it('that is slow is not asked for its version while others wait', async (t) => {
    const asks = `for url; do :; done; exec '${process.execPath}' -e 'fetch(process.argv[1])' "$url"`
    const curl = `case $1 in --version) echo curl 8.9.1; exit 0 ;; esac\n/bin/sleep 2.5; ${asks}`
    const slower = '/bin/sleep 5; exit 1'
    const [busy] = await examine(t, { programs: { curl, wget: slower, git: slower, node: NODE } })
    assert.match(busy?.seen ?? '', /^answered through/)
    const [alone] = await examine(t, { programs: { curl } })
    assert.match(alone?.seen ?? '', /^8\.9\.1: answered through/)
  })

  it('has all of the time when it is named', async (t) => {
    const slow = { curl: 'case $1 in --version) exit 0 ;; esac\n/bin/sleep 9; exit 1' }
    const [late] = await examine(t, { programs: slow })
    assert.deepEqual([late?.status, late?.code], ['warn', 'client-timeout'])
    const [patient] = await examine(t, { programs: slow, args: ['--client', 'curl'] })
    assert.deepEqual([patient?.status, patient?.code], ['fail', 'client-not-proxied'])
  })
})
