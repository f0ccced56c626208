// What the package adds to the start of a program: importing it, and initUpstreamProxy() with a gateway on loopback, so that
// there is no network to wait for. Each in a process of its own.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Benchmark, Goal, Options, Results } from './benchmark.js'
import { findBun, OURS_NODE } from './contestants.js'
import { median, rounded } from './figures.js'
import { ServedProcess } from './processes/served-process.js'
import { Samples, Stage } from './stage.js'

export const startUp: Benchmark = { description: 'import of the package, and its initialisation', run }

/** What start-up-program.ts measures, in milliseconds. */
export interface StartUpTimes {
  readonly importMs: number
  readonly initMs: number
  readonly initCpuMs: number
}

async function run({ isShort }: Options): Promise<Results> {
  const bun = findBun()
  const runtimes = { Node: process.execPath, ...(bun && { Bun: bun }) }
  const samples = new Samples()
  await using stage = await Stage.open({ contestants: [] })
  const folder = mkdtempSync(join(tmpdir(), 'bench-start-up-'))
  try {
    for (let round = 0; round < (isShort ? 3 : 15); round++) {
      for (const [name, runtime] of Object.entries(runtimes))
        addTimes(samples, name, await start(runtime, stage, folder))
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  const of = (what: string, name: string): number => rounded(median(samples.of(`${what} ${name}`)))
  return {
    rows: Object.keys(runtimes).map((runtime) => ({
      runtime,
      'import ms': of('import', runtime),
      'init ms': of('init', runtime),
      'init CPU ms': of('cpu', runtime),
    })),
    goals: createGoals(of),
  }
}

function addTimes(samples: Samples, name: string, times: StartUpTimes): void {
  samples.add(`import ${name}`, times.importMs)
  samples.add(`init ${name}`, times.initMs)
  samples.add(`cpu ${name}`, times.initCpuMs)
}

/** One program's start, from a token file of its own. */
async function start(runtime: string, stage: Stage, folder: string): Promise<StartUpTimes> {
  const tokenFile = join(folder, 'token')
  const rootFile = join(folder, 'root.pem')
  const home = join(folder, 'home')
  mkdirSync(home, { recursive: true })
  writeFileSync(tokenFile, 'token-of-the-bench\n', { mode: 0o600 })
  writeFileSync(rootFile, stage.rootPem)
  const env = {
    HOME: home,
    TMPDIR: folder,
    CLAUDE_CODE_REMOTE: '1',
    CCR_UPSTREAM_PROXY_ENABLED: '1',
    CCR_UPSTREAM_PROXY_URL: `https://127.0.0.1:${stage.gatewayPort}`,
    CCR_UPSTREAM_PROXY_GATEWAY_CA: rootFile,
    CCR_SESSION_TOKEN_PATH: tokenFile,
  }
  await using program = new ServedProcess('start-up-program.js', { runtime, env })
  return await program.ask<StartUpTimes>('start')
}

function createGoals(of: (what: string, name: string) => number): Goal[] {
  return [
    {
      id: 'start-up/import',
      title: `${OURS_NODE}: milliseconds of the import`,
      ratio: of('import', 'Node'),
      atMost: 40,
    },
    {
      id: 'start-up/init',
      title: `${OURS_NODE}: milliseconds of CPU of the initialisation`,
      ratio: of('cpu', 'Node'),
      atMost: 30,
    },
  ]
}
