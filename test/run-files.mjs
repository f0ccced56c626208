// `run-files.mjs WIDTH FILE…` runs compiled test files in that order, WIDTH at a time, each in a process of its own with this one's
// flags. Prints what node:test prints, and last what was skipped and what failed, with the line of the source. With
// CCR_TEST_SKIPS=fail a skipped test is a failure too.

import { relative } from 'node:path'
import { Readable } from 'node:stream'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'

const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => stop.abort())

const failed = []
const skipped = []
const [, , concurrency, ...files] = process.argv
const events = run({ files, concurrency: Number(concurrency), signal: stop.signal })
const report = Readable.from(noteResults(events)).compose(new spec())
report.once('end', () => {
  print('skipped', skipped)
  print('failed', failed)
  const isGood =
    failed.length === 0 && !stop.signal.aborted && !(process.env.CCR_TEST_SKIPS === 'fail' && skipped.length > 0)
  process.exitCode = isGood ? 0 : 1
})
report.pipe(process.stdout)

/** Hands the events on, and keeps what the summary needs of them. */
async function* noteResults(source) {
  const titles = []
  for await (const event of source) {
    const { type, data } = event
    if (type === 'test:start') titles.splice(data.nesting, titles.length, data.name)
    if (type === 'test:pass' || type === 'test:fail') noteResult(type, data, titles.slice(0, data.nesting + 1))
    yield event
  }
}

function noteResult(type, { file, line, skip, todo, details }, titles) {
  const text = `${relative('', file ?? '')}:${line}: ${titles.join(' › ')}`
  if (skip !== undefined) skipped.push(`﹣ ${text} (${skip === true ? 'no reason given' : skip})`)
  // What fails only because a test in it does is not worth a line.
  else if (type === 'test:fail' && todo === undefined && details.error?.failureType !== 'subtestsFailed')
    failed.push(`✖ ${text}`)
}

function print(what, lines) {
  if (lines.length > 0) process.stdout.write(`\n${what}:\n${lines.join('\n')}\n`)
}
