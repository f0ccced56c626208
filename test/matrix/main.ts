// `npm run matrix`: real clients through relay and gateway.

import { parseArgs } from 'node:util'
import { SharedScope } from '../support/temp-dir.js'
import { installNpmTools } from './npm-tools.js'
import { runPool } from './pool.js'
import { formatTable, updateFile } from './results.js'
import { findTools, runTool, type ToolResult } from './run-tool.js'
import { startStage } from './stage.js'
import { describeSource, type Tool } from './tool.js'
import { TOOLS } from './tools/all.js'

const USAGE = `usage: npm run matrix -- [--install] [--list] [--json FILE] [--jobs N] [WORD…]

Runs the clients whose id has one of the words in it, or all, against a host that the gateway intercepts, one that it passes
through, and one in NO_PROXY. Ends with 1 when something is not as expected.

  --install    first install the clients that npm has
  --list       only say what there is, and where it comes from
  --json FILE  put the results into FILE; clients that were not run keep theirs
  --jobs N     clients at a time; 3 unless given
`

const { values, positionals: words } = parseArgs({
  allowPositionals: true,
  options: {
    install: { type: 'boolean' },
    list: { type: 'boolean' },
    json: { type: 'string' },
    jobs: { type: 'string', default: '3' },
    help: { type: 'boolean', short: 'h' },
  },
})
const chosen = TOOLS.filter(({ id }) => words.length === 0 || words.some((word) => id.includes(word)))

if (values.install && !values.help) installNpmTools()
if (values.help) process.stdout.write(USAGE)
else if (values.list)
  for (const tool of chosen) process.stdout.write(`${tool.id.padEnd(22)} ${describeSource(tool.from)}\n`)
else process.exitCode = await runMatrix(chosen)

/** Resolves to the exit code. */
async function runMatrix(tools: readonly Tool[]): Promise<number> {
  const scope = new SharedScope()
  const stop = new AbortController()
  process.once('SIGINT', () => stop.abort(new Error('interrupted')))
  process.once('SIGTERM', () => stop.abort(new Error('terminated')))
  try {
    return await runIn(scope, tools, stop.signal)
  } catch (error) {
    if (!stop.signal.aborted) throw error
    return 130
  } finally {
    await scope.end()
  }
}

async function runIn(scope: SharedScope, tools: readonly Tool[], signal: AbortSignal): Promise<number> {
  const began = performance.now()
  const jobs = Number(values.jobs)
  const { installed, missing } = await findTools(scope, tools, jobs, signal)
  const stage = await startStage(
    scope,
    installed.map(({ tool }) => tool),
  )
  const results: ToolResult[] = []
  await runPool(installed, jobs, async (found) => {
    const result = await runTool(stage, found, signal, ({ kind, passed, ms }) => {
      process.stdout.write(`${found.tool.id} ${kind}: ${passed ? 'works' : 'does not'} (${(ms / 1000).toFixed(1)} s)\n`)
    })
    results.push(result)
  })
  results.sort((left, right) => tools.indexOf(left.tool) - tools.indexOf(right.tool))
  const red = results.filter(({ problems }) => problems.length > 0)
  const seconds = Math.round((performance.now() - began) / 1000)
  process.stdout.write(`\n${formatTable(results, missing)}\n\n`)
  process.stdout.write(
    `${results.length - red.length} as expected, ${red.length} not, ${missing.length} not installed; ${seconds} s\n`,
  )
  if (values.json !== undefined) updateFile(values.json, TOOLS, results)
  return red.length > 0 ? 1 : 0
}
