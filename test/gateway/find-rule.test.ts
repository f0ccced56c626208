// Which rule a request falls under, whatever its origin makes of it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  findRule,
  type RequestPath,
  type Rule,
  type RuleMatch,
  type RuleVerdict,
  readPrefix,
} from 'ccr-upstream-gateway'
import fc from 'fast-check'
import { documentText, tableRows } from '../documents/markdown.js'
import { PATHS, type Reading } from './path-corpus.js'
import '../support/watched-process.js'

const rule = (match: RuleMatch): Rule => ({ match, transforms: [] })
const path = (prefix: string) => rule({ path: readPrefix(prefix) as RequestPath })

function verdictOn(
  rules: readonly Rule[],
  traits: { method?: string; target?: string; schemes?: string[] },
): RuleVerdict {
  const request = { method: 'GET', target: '/', schemes: ['none'], ...traits }
  return findRule({ pattern: 'host', rules }, request)
}

/** The name of what `findRule` found, or what is ambiguous. */
function nameOf(verdict: RuleVerdict): string {
  if (verdict.kind === 'rule') return verdict.name
  return verdict.kind === 'none' ? 'none' : `ambiguous ${verdict.trait}`
}

const READINGS: Record<string, Reading> = {
  'host[0]': '/admin',
  'host[1]': '/v1',
  'host[2]': '*',
  'ambiguous path': 'refused',
}

function readingOf(target: string): Reading {
  const name = nameOf(verdictOn([path('/admin'), path('/v1'), rule({})], { target }))
  return READINGS[name] ?? assert.fail(name)
}

test(`${PATHS.length} paths fall under the rule that every origin reads them under, or are refused`, () => {
  assert.deepEqual(
    PATHS.map(([target]) => [target, readingOf(target)]),
    PATHS,
  )
})

test("the document's examples are among them", () => {
  const rows = tableRows(documentText('doc/gateway.md'), '## How requests are matched')
  const examples = rows.flatMap(([, cell = '']) => [...cell.matchAll(/`([^`]+)`/g)].map(([, path]) => path as string))
  const refused = PATHS.filter(([, reading]) => reading === 'refused').map(([target]) => target)
  assert.ok(examples.length > 15)
  assert.deepEqual(
    examples,
    examples.filter((example) => refused.includes(example)),
  )
})

test('where no rule is by path, none of them is refused', () => {
  for (const [target] of PATHS)
    assert.equal(nameOf(verdictOn([rule({ method: ['GET'] })], { target })), 'host[0]', target)
})

test('the order of the rules is that of the config, whichever of them a path is nearer to', () => {
  const rules = [path('/a/b'), path('/a'), rule({}), path('/never')]
  const names = ['/a/b/c', '/a/b', '/a/c', '/a', '/b', '/never'].map((target) => nameOf(verdictOn(rules, { target })))
  assert.deepEqual(names, ['host[0]', 'host[0]', 'host[1]', 'host[1]', 'host[2]', 'host[2]'])
})

test('a prefix is read as a path is: without its last slash, and with its reserved characters as they are spelt', () => {
  const find = (prefix: string, target: string) => nameOf(verdictOn([path(prefix)], { target }))
  assert.equal(find('/v1/', '/v1'), 'host[0]')
  assert.equal(find('/', '/anything'), 'host[0]')
  assert.equal(find('/%7Euser', '/~user/x'), 'host[0]')
  assert.equal(find('/%e2%82%ac', '/%E2%82%AC'), 'host[0]')
  assert.equal(find('/@org', '/@org/x'), 'host[0]')
  assert.equal(find('/@org', '/%40org/x'), 'ambiguous path')
  assert.equal(find('/%40org', '/@org/x'), 'ambiguous path')
})

test('several Authorization fields are refused where the rules are by scheme and the fields are not of one', () => {
  const byScheme = [rule({ scheme: ['basic'] }), rule({})]
  const find = (rules: readonly Rule[], ...schemes: string[]) => nameOf(verdictOn(rules, { schemes }))
  assert.equal(find(byScheme, 'basic', 'bearer'), 'ambiguous scheme')
  assert.equal(find(byScheme, 'bearer', 'bearer', 'basic'), 'ambiguous scheme')
  assert.equal(find(byScheme, 'basic', 'basic'), 'host[0]')
  assert.equal(find([rule({})], 'basic', 'bearer'), 'host[0]')
})

type Step = (path: string) => string

const decode: Step = (text) =>
  text.replace(/%([0-9a-f]{2})/gi, (_all, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))

const resolveDots: Step = (text) => {
  const resolved: string[] = []
  for (const segment of text.split('/').slice(1)) {
    if (segment === '..') resolved.pop()
    else if (segment !== '.') resolved.push(segment)
  }
  return `/${resolved.join('/')}`
}

/** Not of `.` and `..`, which are for `resolveDots`. */
const trimSegment: Step = (segment) =>
  /^\.\.?$/.test(segment) ? segment : segment.trim().replace(/(?<![\s.])[\s.]+$/, '')

/** What origins do to a path before they look at it, in one order or another. */
const STEPS: readonly Step[] = [
  decode,
  (text) => Buffer.from(decode(text), 'latin1').toString('utf8'),
  (text) => text.replace(/%u([0-9a-f]{4})/gi, (_all, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
  (text) => text.replace(/\/+/g, '/'),
  (text) => text.replaceAll('\\', '/'),
  (text) => text.replace(/;[^/]*/g, ''),
  resolveDots,
  (text) => text.split(/[?#]/, 1)[0] as string,
  (text) => text.split('\0', 1)[0] as string,
  (text) => text.split('/').map(trimSegment).join('/'),
  (text) => text.toLowerCase(),
]

const PIECES = [
  ...[
    '/',
    '/',
    '/',
    '/admin',
    '/v1',
    '/x',
    'admin',
    '%61dmin',
    'ADMIN',
    'adm',
    'in',
    'v1',
    'x',
    'é',
    '+',
    '@',
    '~',
    ':',
  ],
  ...['.', '..', '%2e', '%2E%2e', '/..', '/../', '/./', '...', ';', '%3b', ';x=1', '/;', '\\', '%5c', '%2f', '%2F'],
  ...[
    '%',
    '%2',
    '%25',
    '2f',
    '2e',
    '61',
    '5c',
    '00',
    'u0061',
    '%u002f',
    '%00',
    '%0a',
    '%20',
    '%09',
    '%a0',
    '%c2%a0',
    '%85',
  ],
  ...['%c0%af', '%c0%ae', '%e0%80%af', '%3f', '%23', '%40', '%7e', '%E2%82%AC'],
].map((piece) => (piece === 'é' ? '%C3%A9' : piece))

const somePath = fc
  .tuple(
    fc.constantFrom('', '', 'admin', '%61dmin', 'v1', 'x/..'),
    fc.array(fc.constantFrom(...PIECES), { maxLength: 6 }),
  )
  .map(([start, pieces]) => `/${start}${pieces.join('')}`)
const someOrigin = fc.array(fc.constantFrom(...STEPS), { maxLength: 6 })

const isUnderAt = (origin: readonly Step[], target: string, prefix: string) => {
  const read = origin.reduce((text, step) => step(text), target)
  return read === prefix || read.startsWith(`${prefix}/`)
}

test('whatever an origin does to a path: what it reads under /admin is refused or has the credential of /admin', () => {
  let count = 0
  const property = fc.property(somePath, someOrigin, (target, origin) => {
    if (!isUnderAt(origin, target, '/admin')) return
    count++
    assert.ok(['/admin', 'refused'].includes(readingOf(target)), readingOf(target))
  })
  fc.assert(property, { numRuns: 50_000 })
  assert.ok(count > 500, `only ${count} were under it`)
})

test('and what has the credential of /admin is under it for every origin that decodes', () => {
  let count = 0
  const property = fc.property(somePath, someOrigin, (target, origin) => {
    if (readingOf(target) !== '/admin') return
    count++
    assert.ok(isUnderAt([decode, ...origin], target, '/admin'))
  })
  fc.assert(property, { numRuns: 50_000 })
  assert.ok(count > 500, `only ${count} had it`)
})
