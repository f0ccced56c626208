// doc/observability.md: its tables have every channel and metric, and its samples are what the program makes.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { formatPrometheus } from '#src/index.js'
import { CHANNELS } from '#src/relay/channels.js'
import { RelayMonitor } from '#src/relay/monitor.js'
import { documentText, fencedBlocks, tableRows } from './markdown.js'

const document = documentText('doc/observability.md')

/** The code in the first cell of each row of the first table behind `text`. */
function firstCodes(text: string): string[] {
  return tableRows(document, text).map(([cell = '']) => /^`([^`]+)`/.exec(cell)?.[1] ?? cell)
}

test('every channel is in the table, and no other', () => {
  const names = Object.values(CHANNELS).map(({ name }) => name as string)
  assert.deepEqual(firstCodes('\n## Events\n').toSorted(), names.toSorted())
})

test('every metric is in the table, and no other', () => {
  const statistics = {
    ...new RelayMonitor(undefined).statistics(),
    warm: { ready: 0, used: 0, missed: 0, lost: 0, isResting: false },
    tunnelLog: { written: 0, lost: 0 },
  }
  const text = formatPrometheus(statistics)
  const families = [...text.matchAll(/^# TYPE (\S+) /gm)].map(([, name]) => name)
  assert.deepEqual(firstCodes('metrics.listen(').toSorted(), families.toSorted())
})

test('the line of the log is valid', () => {
  const [sample] = fencedBlocks(document).filter(({ language }) => language === 'json')
  const ajv = new Ajv2020({ formats: { 'date-time': true } })
  const isValid = ajv.compile(JSON.parse(documentText('schema/tunnel-log.schema.json')))
  assert.ok(isValid(JSON.parse(sample?.text ?? '')), JSON.stringify(isValid.errors))
})
