// The doctor with every client that this machine has, and with those that the matrix has from npm, tried for real through
// relay and gateway; and once with the variables taken away that lead to the CA, for a client that passes then was never tried.

import assert from 'node:assert/strict'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it, type TestContext } from 'node:test'
import { CLIENTS } from '#src/doctor/client-table.js'
import { findProgram } from '#src/doctor/programs.js'
import { CHILD_VARIABLES } from '#src/system/children/variables.js'
import { type Check, diagnosisOf, runDoctor } from '../doctor/doctor-process.js'
import { BUN, NPM_TOOLS } from '../matrix/npm-tools.js'
import { IS_LARGE } from '../support/runtimes.js'
import { createSession, RULED_HOST, type System, startSystem } from '../support/system.js'
import { createTempDirectory, SharedScope } from '../support/temp-dir.js'
import type { Actor } from '../support/unprivileged.js'

const self = { own: () => {} } as unknown as Actor

/** All that bring a client to the gateway's CA; Java's proxy is told in the same variable. */
const TRUST_VARIABLES = CHILD_VARIABLES.filter(({ target, level }) => {
  return level !== 'inherited' && ['full-bundle', 'extra-certificates', 'file'].includes(target)
}).map(({ name }) => name)
const WITHOUT_CA = { CCR_UPSTREAM_PROXY_ENV_EXCEPT: TRUST_VARIABLES.join(',') }

/** What origins answer; /hello and /bytes are 200 with JSON that is no package, and with what is no JSON. */
const PATHS = IS_LARGE
  ? [...[200, 301, 401, 403, 404, 500].map((status) => `status/${status}`), 'hello', 'bytes/100']
  : ['status/404']
/** As many as are tried at once, so that none waits for another. */
const GROUP_SIZE = 3
const SLOW = ['pip', 'java', 'aws', 'mvn', 'gradle', 'gcloud']

const inMatrix = (path: string): string => join(NPM_TOOLS, path)
const nodeOf = (line: number): string => inMatrix(`node${line}/bin/node`)

/** One client of a machine: what the doctor calls it, what the tests call this version, and the files of its command. */
type Variant = readonly [client: string, title: string, ...command: string[]]
/** One version of each client to a machine. */
const MACHINES: readonly (readonly Variant[])[] = [
  [
    ['pnpm', 'pnpm 9', nodeOf(22), inMatrix('pnpm9/bin/pnpm.cjs')],
    ['yarn', 'yarn 1', nodeOf(22), inMatrix('yarn1/bin/yarn.js')],
    ['deno', 'deno', inMatrix('@deno/linux-x64-glibc/deno')],
  ],
  [
    ['pnpm', 'pnpm 12', inMatrix('@pnpm/exe.linux-x64/pnpm')],
    ['yarn', 'yarn 4', nodeOf(22), inMatrix('@yarnpkg/cli-dist/bin/yarn.js')],
    ['bun', 'bun', BUN],
  ],
]

/** In the long form. */
const MORE_MACHINES: readonly (readonly Variant[])[] = [
  [
    ['npm', 'npm 10', nodeOf(22), inMatrix('npm10/bin/npm-cli.js')],
    ['node', 'Node 20', nodeOf(20)],
  ],
  [
    ['npm', 'npm 12', nodeOf(22), inMatrix('npm12/bin/npm-cli.js')],
    ['node', 'Node 22', nodeOf(22)],
  ],
  [['node', 'Node 24', nodeOf(24)]],
  [['node', 'Node 26', nodeOf(26)]],
]

describe('the doctor tries', { timeout: 1_800_000 }, () => {
  const scope = new SharedScope()
  let system: System

  before(async () => {
    system = await startSystem(scope)
  })
  after(() => scope.end())

  interface Attempt {
    readonly path: string
    readonly names?: readonly string[]
    readonly env?: Readonly<Record<string, string>>
  }

  async function attempt(t: TestContext, { path, names = [], env = {} }: Attempt): Promise<Check[]> {
    const session = createSession(t, self, system.environment)
    const url = `https://${RULED_HOST}/${path}`
    const { checks } = diagnosisOf(
      await runDoctor(t, {
        session,
        args: ['--json', '--url', url, ...names.flatMap((name) => ['--client', name])],
        env: { PATH: process.env.PATH, RUSTUP_HOME: process.env.RUSTUP_HOME ?? join(homedir(), '.rustup'), ...env },
      }),
    )
    const clients = checks.filter(({ id }) => id.startsWith('client '))
    for (const { id, status: outcome, seen } of clients) t.diagnostic(`${outcome} ${id}: ${seen}`)
    return clients
  }

  const outcomesOf = (checks: readonly Check[], status: Check['status']) =>
    checks.filter((check) => check.status === status)

  /** No client has failed, and for none there was no time. */
  function assertTried(clients: readonly Check[]): void {
    assert.deepEqual(outcomesOf(clients, 'fail'), [])
    assert.deepEqual(outcomesOf(clients, 'warn'), [])
    assert.deepEqual(
      outcomesOf(clients, 'skip').filter(({ seen = '' }) => /\btime\b/.test(seen)),
      [],
    )
  }

  it('every client that is installed, and they are answered', async (t) => {
    const clients = await attempt(t, { path: 'status/404' })
    assert.deepEqual(outcomesOf(clients, 'fail'), [])
    // The one that is there wherever the tests are.
    assert.equal(clients.find(({ id }) => id === 'client node')?.status, 'pass')
  })

  for (const machine of IS_LARGE ? [...MACHINES, ...MORE_MACHINES] : MACHINES) {
    for (const [, title, ...files] of machine.filter((variant) => !isInstalled(variant)))
      it(title, { skip: `not installed (npm run matrix -- --install): ${files.find((file) => !existsSync(file))}` })
    const variants = machine.filter(isInstalled)
    if (variants.length === 0) continue
    const titles = variants.map(([, title]) => title).join(', ')
    const names = variants.map(([name]) => name)

    for (const path of PATHS) {
      it(`${titles}: answered by /${path}`, async (t) => {
        const clients = await attempt(t, { path, names, env: { PATH: installIn(t, variants) } })
        assertTried(clients)
        assert.equal(outcomesOf(clients, 'pass').length, names.length)
      })
    }

    it(`${titles}: without a CA, and none of them passes`, async (t) => {
      const env = { ...WITHOUT_CA, PATH: installIn(t, variants) }
      const clients = await attempt(t, { path: 'status/404', names, env })
      assert.deepEqual(
        clients.map(({ status, hop }) => [status, hop]),
        names.map(() => ['fail', 'client']),
      )
    })
  }

  if (!IS_LARGE) return
  const groups = groupsOf(
    CLIENTS.filter(({ program }) => findProgram(program, process.env.PATH)).map(({ name }) => name),
  )
  for (const names of groups) {
    for (const path of PATHS) {
      it(`${names.join(', ')}: answered by /${path}`, async (t) => assertTried(await attempt(t, { path, names })))
    }

    it(`${names.join(', ')}: without a CA, and none of them passes`, async (t) => {
      const clients = await attempt(t, { path: 'status/404', names, env: WITHOUT_CA })
      assert.deepEqual(outcomesOf(clients, 'pass'), [])
    })
  }
})

function isInstalled([, , ...files]: Variant): boolean {
  return files.every((file) => existsSync(file))
}

/** PATH with the clients in front. */
function installIn(t: TestContext, variants: readonly Variant[]): string {
  const bin = join(createTempDirectory(t, 'clients'), 'bin')
  mkdirSync(bin)
  for (const [name, , ...files] of variants) {
    const command = files.map((file) => `'${file}'`).join(' ')
    writeFileSync(join(bin, name), `#!/bin/sh\nexec ${command} "$@"\n`, { mode: 0o755 })
  }
  return `${bin}:${process.env.PATH}`
}

/** The slow ones alone, of the others a few in each. */
function groupsOf(names: readonly string[]): string[][] {
  const quick = names.filter((name) => !SLOW.includes(name))
  const count = Math.ceil(quick.length / GROUP_SIZE)
  const groups = Array.from({ length: count }, (_, group) => quick.filter((_name, index) => index % count === group))
  return [...groups, ...names.filter((name) => SLOW.includes(name)).map((name) => [name])]
}
