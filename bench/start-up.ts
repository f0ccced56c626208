// What the package adds to the start of a program: importing it, and initUpstreamProxy() with a gateway on loopback. Each in
// a process of its own. What counts is the CPU time of the program's own thread, so that neither the network nor other
// programs have a part in it; the control shows how much of it no program can do without.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Benchmark, Goal, Options, Results, Row } from './benchmark.js'
import { findBun, OURS_NODE } from './contestants.js'
import { median, rounded } from './figures.js'
import { ServedProcess } from './processes/served-process.js'
import { Samples, Stage } from './stage.js'

export const startUp: Benchmark = { description: 'import of the package, and its initialisation', run }

/** Milliseconds: on the clock, on a CPU in the program's own thread, and on a CPU in all threads of the process. */
export interface Cost {
  readonly ms: number
  readonly ownCpuMs: number
  readonly cpuMs: number
}

/** What start-up-program.ts measures. */
export interface StartUpCosts {
  readonly importCost: Cost
  readonly initCost: Cost
}

const GUARD_OFF = 'Node, guard off'
const CONTROL = 'Node, the download alone'

async function run({ isShort }: Options): Promise<Results> {
  const bun = findBun()
  const runtimes = { Node: process.execPath, ...(bun && { Bun: bun }) }
  const samples = new Samples()
  await using stage = await Stage.open({ contestants: [] })
  const folder = mkdtempSync(join(tmpdir(), 'bench-start-up-'))
  try {
    const session = createSession(stage, folder)
    for (let round = 0; round < (isShort ? 3 : 15); round++) {
      for (const [name, runtime] of Object.entries(runtimes)) addCosts(samples, name, await start(runtime, session))
      addCosts(samples, GUARD_OFF, await start(process.execPath, { ...session, guard: '' }))
      addCost(samples, `init ${CONTROL}`, await fetchCa(session))
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  const of = (what: string): number => rounded(median(samples.of(what)))
  const rows = [...Object.keys(runtimes), GUARD_OFF, CONTROL].map((name) => createRow(name, of))
  return {
    rows,
    goals: createGoals(of),
    notes: ['own: CPU time of the thread that the program runs in; CPU: of all threads of its process'],
  }
}

function createRow(name: string, of: (what: string) => number): Row {
  const initOf = (what: string): number => of(`init ${name} ${what}`)
  // The control imports nothing of ours.
  const importOf = (what: string): number | string => (name === CONTROL ? '' : of(`import ${name} ${what}`))
  return {
    program: name,
    'import own ms': importOf('own'),
    'import CPU ms': importOf('cpu'),
    'import ms': importOf('wall'),
    'init own ms': initOf('own'),
    'init CPU ms': initOf('cpu'),
    'init ms': initOf('wall'),
  }
}

function createGoals(of: (what: string) => number): Goal[] {
  return [
    {
      id: 'start-up/import',
      title: `${OURS_NODE}: milliseconds of its thread's CPU time for the import`,
      ratio: of('import Node own'),
      atMost: 40,
    },
    {
      id: 'start-up/init',
      title: `${OURS_NODE}: milliseconds of its thread's CPU time for the initialisation`,
      ratio: of('init Node own'),
      atMost: 30,
    },
  ]
}

function addCosts(samples: Samples, name: string, { importCost, initCost }: StartUpCosts): void {
  addCost(samples, `import ${name}`, importCost)
  addCost(samples, `init ${name}`, initCost)
}

function addCost(samples: Samples, what: string, { ms, ownCpuMs, cpuMs }: Cost): void {
  samples.add(`${what} wall`, ms)
  samples.add(`${what} own`, ownCpuMs)
  samples.add(`${what} cpu`, cpuMs)
}

interface Session {
  readonly folder: string
  readonly rootFile: string
  readonly gateway: string
  readonly guard: string
}

function createSession(stage: Stage, folder: string): Session {
  const rootFile = join(folder, 'root.pem')
  writeFileSync(rootFile, stage.rootPem)
  mkdirSync(join(folder, 'home'))
  return { folder, rootFile, gateway: `https://127.0.0.1:${stage.gatewayPort}`, guard: '1' }
}

/** One program's start, from a token file of its own. */
async function start(runtime: string, { folder, rootFile, gateway, guard }: Session): Promise<StartUpCosts> {
  const tokenFile = join(folder, 'token')
  writeFileSync(tokenFile, 'token-of-the-bench\n', { mode: 0o600 })
  const env = {
    HOME: join(folder, 'home'),
    TMPDIR: folder,
    CLAUDE_CODE_REMOTE: guard,
    CCR_UPSTREAM_PROXY_ENABLED: '1',
    CCR_UPSTREAM_PROXY_URL: gateway,
    CCR_UPSTREAM_PROXY_GATEWAY_CA: rootFile,
    CCR_SESSION_TOKEN_PATH: tokenFile,
  }
  await using program = new ServedProcess('start-up-program.js', { runtime, env })
  return await program.ask<StartUpCosts>('start')
}

async function fetchCa({ rootFile, gateway }: Session): Promise<Cost> {
  await using program = new ServedProcess('start-up-program.js')
  return await program.ask<Cost>('fetchCa', { url: `${gateway}/upstreamproxy/ca-cert`, rootFile })
}
