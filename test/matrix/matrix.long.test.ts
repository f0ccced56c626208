// The clients of the matrix that are installed, one test each. `npm run matrix -- --install` brings the ones that npm has.

import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { CHILD_VARIABLES } from '#src/system/children/variables.js'
import { SharedScope } from '../support/temp-dir.js'
import { findTools, runTool } from './run-tool.js'
import { type Stage, startStage } from './stage.js'
import type { Tool } from './tool.js'
import { TOOLS } from './tools/all.js'

/** Clients at a time: most of them wait most of the time. */
const WIDTH = 3

/** Each client has an address of its own in 127.0.77.0/24, which only Linux listens on without being told to. */
const notHere = process.platform !== 'linux' && 'the addresses of the origins are there on Linux only'

const setup = new SharedScope()
const stop = new AbortController()
const { installed, missing } = await findTools(setup, notHere ? [] : TOOLS, WIDTH, stop.signal)

describe('through relay and gateway', { concurrency: WIDTH, timeout: 1_800_000, skip: notHere }, () => {
  let stage: Stage
  before(async () => {
    stage = await startStage(
      setup,
      installed.map(({ tool }) => tool),
    )
  })
  after(async () => {
    stop.abort()
    await setup.end()
  })

  for (const found of installed) {
    it(titleOf(found.tool), async () => {
      const { problems } = await runTool(stage, found, stop.signal)
      assert.deepEqual(problems, [])
    })
  }
  for (const { tool, missing: reason } of missing) it(titleOf(tool), { skip: reason }, () => {})
})

describe('the variables for children', () => {
  it('name clients of the matrix as what shows them, or the documentation alone', () => {
    const words = CHILD_VARIABLES.flatMap(({ proof }) => proof).filter((word) => word !== 'documentation')
    assert.ok(words.length > 0)
    assert.deepEqual(
      words.filter((word) => !TOOLS.some(({ id }) => id.startsWith(word))),
      [],
    )
  })
})

function titleOf({ name, does, impossible }: Tool): string {
  return impossible === undefined ? `${name} gets through: ${does}` : `${name} does not: ${impossible.reason}`
}
