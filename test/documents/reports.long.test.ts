// What documents say and show of the reports of doctor, status and top, held against real ones on the stage of the demo.

import assert from 'node:assert/strict'
import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { formatStatus } from '#src/cli/status-view.js'
import { CLIENTS } from '#src/doctor/client-table.js'
import type { RelayStatus } from '#src/index.js'
import { ORIGIN_HOST, Stage } from '../demo/stage.js'
import type { Check } from '../doctor/doctor-process.js'
import { CLI_FILE, RunningProcess, run } from '../support/cli-process.js'
import { TunnelStream } from '../support/connect-client.js'
import { SharedScope } from '../support/temp-dir.js'
import { documentText, fencedBlocks, tableRows } from './markdown.js'

const TARGET = `https://${ORIGIN_HOST}/v1/me`
const doctorDocument = documentText('doc/doctor.md')

const scope = new SharedScope()
const stage = new Stage()
before(() => stage.open())
after(async () => {
  await scope.end()
  await stage.close()
})

/** The one block of a document that holds a text. */
function sampleOf(path: string, held: string): string[] {
  const found = fencedBlocks(documentText(path)).filter(({ text }) => text.includes(held))
  assert.equal(found.length, 1, `${path}: ${held}`)
  return found[0]?.text.trimEnd().split('\n') ?? []
}

const codeIn = (cell = ''): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => code as string)

// -- doctor ----------------------------------------------------------------------------------------------------------------

describe('the report of doctor', { timeout: 1_800_000 }, () => {
  let passed: Check[]
  let failed: Check[]
  before(async () => {
    stage.provideToken()
    passed = await examine('--url', TARGET)
    rmSync(join(stage.folder, 'session_token'))
    failed = await examine()
  })

  /** No client is on PATH: they have a test of their own, and take their time. */
  async function examine(...args: string[]): Promise<Check[]> {
    const env = { ...stage.environment, PATH: '' }
    const command = [CLI_FILE, 'doctor', '--json', ...args]
    const { stdout, stderr } = await run(scope, process.execPath, command, { env, cwd: stage.folder })
    assert.equal(stderr, '')
    return (JSON.parse(stdout) as { checks: Check[] }).checks
  }

  test('has the groups and the checks that README shows, in their order', () => {
    const shown: string[] = []
    const clients: string[] = []
    let group = ''
    for (const line of sampleOf('README.md', 'container$ ccr-upstream-proxy doctor').slice(1)) {
      const id = /^ {2}(?:pass|warn|fail|skip) {2}(\S+(?: \S+)*)(?: {2}|$)/.exec(line)?.[1]
      if (/^[a-z]/.test(line)) group = line
      else if (id !== undefined && group === 'clients' && id !== 'clients') clients.push(id)
      else if (id !== undefined) shown.push(`${group}: ${id}`)
    }
    assert.deepEqual(
      shown,
      passed.map(({ group, id }) => `${group}: ${id}`),
    )
    const names = CLIENTS.map(({ name }) => name)
    assert.ok(clients.length > 10)
    assert.deepEqual(
      clients.filter((name) => !names.includes(name)),
      [],
    )
  })

  test('has the checks of the table in doc/doctor.md, in their order', () => {
    const rows = tableRows(doctorDocument, '## What is checked').map(([id, group]) => [...codeIn(id), group])
    assert.deepEqual(rows.pop(), ['client NAME', 'clients'])
    assert.deepEqual(
      rows,
      passed.map(({ id, group }) => [id, group]),
    )
  })

  test('has the fields of the table in doc/doctor.md, each where it says', () => {
    const rows = tableRows(doctorDocument, '## `doctor --json`')
    const checks = [...passed, ...failed]
    assert.deepEqual(new Set(rows.flatMap(([field]) => codeIn(field))), new Set(checks.flatMap(Object.keys)))
    for (const check of checks) {
      const isBad = check.status === 'warn' || check.status === 'fail'
      for (const [field, when] of rows) {
        const isThere = (codeIn(field)[0] as string) in check
        if (when === 'always') assert.ok(isThere, check.id)
        if (when === 'with `warn` and `fail`') assert.equal(isThere, isBad, check.id)
      }
    }
  })

  test('has no status and no hop that doc/doctor.md does not name', () => {
    const rows = tableRows(doctorDocument, '## `doctor --json`')
    const valuesOf = (name: string) =>
      rows.filter(([field]) => field === `\`${name}\``).flatMap(([, , what]) => codeIn(what))
    const source = documentText('src/doctor/check.ts')
    const wordsIn = (pattern: RegExp) =>
      [...(pattern.exec(source)?.[1] ?? '').matchAll(/'([^']+)'/g)].map(([, word]) => word)
    assert.deepEqual(valuesOf('status'), wordsIn(/readonly status: (.*)/))
    assert.deepEqual(valuesOf('hop').toSorted(), wordsIn(/type Hop = (.*)/).toSorted())
  })
})

// -- status and top --------------------------------------------------------------------------------------------------------

describe('the report of a relay', { timeout: 1_800_000 }, () => {
  let status: RelayStatus
  let shown: string[]
  before(async () => {
    stage.provideToken()
    const options = { env: stage.environment, cwd: stage.folder }
    const relay = new RunningProcess(scope, process.execPath, [CLI_FILE, 'relay', '--json', '--log', 'log'], options)
    const [line] = await relay.until(/^.*\n/)
    const { port } = JSON.parse(line) as { port: number }
    const tunnel = new TunnelStream({ proxyUrl: `http://127.0.0.1:${port}`, authority: `${ORIGIN_HOST}:443` })
    await tunnel.opened
    const ask = (...args: string[]) => run(scope, process.execPath, [CLI_FILE, 'status', ...args], options)
    status = JSON.parse((await ask('--json')).stdout) as RelayStatus
    shown = (await ask()).stdout.trimEnd().split('\n')
    tunnel.destroy()
    assert.ok(existsSync(join(stage.folder, 'log')))
  })

  test('has the lines that doc/observability.md shows', () => {
    assert.deepEqual(shapeOf(sampleOf('doc/observability.md', 'ccr-upstream-proxy listening on')), shapeOf(shown))
  })

  test('has the lines that README shows of top', () => {
    const statistics = { ...status.statistics, tunnelLog: undefined }
    const lines = formatStatus({ ...status, statistics }, { columns: 80, hasColour: false, since: status })
    assert.deepEqual(shapeOf(sampleOf('README.md', 'q: quit')), shapeOf([...lines, 'q: quit']))
  })

  test('has the fields of the table in doc/observability.md', () => {
    const rows = tableRows(documentText('doc/observability.md'), 'prints the report as one object')
    const named = rows.map(([field, what]) => [codeIn(field), codeIn(what)] as const)
    const paths = named.flatMap(([fields]) => fields)
    const { statistics, ...rest } = status
    assert.deepEqual(
      new Set(paths),
      new Set([...Object.keys(rest), 'statistics', ...Object.keys(statistics).map((name) => `statistics.${name}`)]),
    )
    const parts: Readonly<Record<string, unknown>> = { ...rest, ...withPrefix('statistics.', statistics) }
    for (const [[path = ''], fields] of named) {
      const value = Array.isArray(parts[path]) ? parts[path][0] : parts[path]
      if (typeof value !== 'object' || path === 'tunnels') continue
      const there = Object.keys(value as object)
      const nested = path === 'statistics.latencies' ? Object.keys(status.statistics.latencies.dial) : []
      assert.deepEqual(fields.toSorted(), [...there, ...nested].toSorted(), path)
    }
  })

  test('has the fields of an event for each tunnel', () => {
    const [, events = ''] = documentText('doc/observability.md').split('\n## Events\n')
    const [tunnel = {}] = status.tunnels
    assert.deepEqual(
      Object.keys(tunnel).filter((name) => !events.includes(`\`${name}\``)),
      [],
    )
  })
})

function withPrefix(prefix: string, value: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [`${prefix}${name}`, part]))
}

/** What is left of the lines without figures, of the hosts, and of what was refused or is broken. */
function shapeOf(lines: readonly string[]): string[] {
  const shapes = lines.map((line) => {
    return line
      .replaceAll(/–|\d[\d.,]*(?: (?:ms|s|m|h|B|KiB|MiB)\b)?/g, '#')
      .replaceAll(/ +/g, ' ')
      .replace(/^(refused|broken) .*/, '$1')
      .replace(/^[a-z-]+(?:\.[a-z-]+)+ # # # #$/, '<host>')
  })
  return shapes.filter((shape, at) => shape !== '<host>' || shapes[at - 1] !== '<host>')
}
