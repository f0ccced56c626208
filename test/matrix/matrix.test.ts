// The clients of the matrix that are installed, one test each. `npm run matrix -- --install` brings the ones that npm has.

import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { SharedScope } from '../support/temp-dir.js'
import { runPool } from './pool.js'
import { findTool, type InstalledTool, type MissingTool, runTool } from './run-tool.js'
import { type Stage, startStage } from './stage.js'
import { TOOLS } from './tools/all.js'

/** Clients at a time: most of them wait most of the time. */
const WIDTH = 3

const setup = new SharedScope()
const stop = new AbortController()
const found = new Map<string, InstalledTool | MissingTool>()
await runPool(TOOLS, WIDTH, async (tool) => {
  found.set(tool.id, await findTool(setup, tool, stop.signal))
})

describe('through relay and gateway', { concurrency: WIDTH, timeout: 600_000 }, () => {
  let stage: Stage
  before(async () => {
    stage = await startStage(
      setup,
      TOOLS.filter(({ id }) => 'version' in (found.get(id) ?? {})),
    )
  })
  after(async () => {
    stop.abort()
    await setup.end()
  })

  for (const tool of TOOLS) {
    const { name, does, impossible } = tool
    const title = impossible === undefined ? `${name} gets through: ${does}` : `${name} does not: ${impossible.reason}`
    const client = found.get(tool.id)
    if (client === undefined || 'missing' in client) it(title, { skip: client?.missing ?? 'not looked for' }, () => {})
    else {
      it(title, async () => {
        const { problems } = await runTool(stage, client, stop.signal)
        assert.deepEqual(problems, [])
      })
    }
  }
})
