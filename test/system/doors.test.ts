// What the runtime was told at its start, and whether the token may be read then.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { type ErrorCode, UpstreamProxyError } from '#src/errors.js'
import { assertNoOpenDoor, type Start } from '#src/system/doors.js'

const folder = mkdtempSync(join(tmpdir(), 'doors-'))
after(() => rmSync(folder, { recursive: true }))

const NODE: Start = { runtimeArguments: [], environment: {}, workingDirectory: folder, isBun: false }
const BUN: Start = { ...NODE, isBun: true }

function codeOf(start: Start): ErrorCode | undefined {
  try {
    assertNoOpenDoor(start)
    return undefined
  } catch (error) {
    assert.ok(error instanceof UpstreamProxyError)
    return error.code
  }
}

function withFile(name: string, text: string, start: Start): ErrorCode | undefined {
  writeFileSync(join(folder, name), text)
  try {
    return codeOf(start)
  } finally {
    rmSync(join(folder, name))
  }
}

describe('a start without open doors', () => {
  test('lets the token be read', () => {
    assert.equal(codeOf(NODE), undefined)
    assert.equal(codeOf(BUN), undefined)
    assert.equal(
      codeOf({ ...NODE, environment: { NODE_DEBUG: 'fs,module', NODE_OPTIONS: '--no-warnings' } }),
      undefined,
    )
  })
})

describe('a start that makes the runtime write secrets', () => {
  for (const option of ['--heapsnapshot-signal=SIGUSR2', '--heap-prof', '--tls-keylog=keys', '--trace-tls']) {
    test(`${option} keeps the token unread, as argument and in NODE_OPTIONS`, () => {
      assert.equal(codeOf({ ...NODE, runtimeArguments: [option] }), 'dump-enabled')
      assert.equal(codeOf({ ...NODE, environment: { NODE_OPTIONS: `--no-warnings ${option}` } }), 'dump-enabled')
    })
  }

  for (const NODE_DEBUG of ['http', 'HTTPS', 'fs,net', 'tls', '*']) {
    test(`NODE_DEBUG=${NODE_DEBUG} keeps the token unread`, () => {
      assert.equal(codeOf({ ...NODE, environment: { NODE_DEBUG } }), 'debug-output')
    })
  }

  test('BUN_CONFIG_VERBOSE_FETCH keeps the token unread on Bun alone', () => {
    const environment = { BUN_CONFIG_VERBOSE_FETCH: 'curl' }
    assert.equal(codeOf({ ...BUN, environment }), 'debug-output')
    assert.equal(codeOf({ ...NODE, environment }), undefined)
  })
})

describe("Bun's doors", () => {
  test('an inspector by variable, by argument or by BUN_OPTIONS keeps the token unread', () => {
    assert.equal(codeOf({ ...BUN, environment: { BUN_INSPECT: 'ws://127.0.0.1:6499/x' } }), 'debugger-open')
    assert.equal(codeOf({ ...BUN, runtimeArguments: ['--inspect'] }), 'debugger-open')
    assert.equal(codeOf({ ...BUN, environment: { BUN_OPTIONS: '--inspect-brk=6499' } }), 'debugger-open')
  })

  test('a bunfig.toml with preloads keeps the token unread, unless Bun was given another', () => {
    const text = 'preload = ["./evil.ts"]\n'
    assert.equal(withFile('bunfig.toml', text, BUN), 'working-directory-unsafe')
    assert.equal(withFile('bunfig.toml', text, { ...BUN, runtimeArguments: ['--config=/dev/null'] }), undefined)
    assert.equal(withFile('bunfig.toml', '[test]\ncoverage = true\n', BUN), undefined)
    assert.equal(withFile('bunfig.toml', text, NODE), undefined)
  })

  test('a .env that says where the token goes keeps it unread', () => {
    for (const line of [
      'CCR_UPSTREAM_PROXY_URL=https://evil.test',
      'export HTTPS_PROXY=x',
      ' ANTHROPIC_BASE_URL = x',
    ]) {
      assert.equal(withFile('.env', `A=1\n${line}\n`, BUN), 'working-directory-unsafe', line)
    }
    assert.equal(withFile('.env.local', 'https_proxy=x', BUN), 'working-directory-unsafe')
    assert.equal(withFile('.env', 'DATABASE_URL=x\nMY_CCR_X=1\n', BUN), undefined)
    assert.equal(
      withFile('.env', 'CCR_UPSTREAM_PROXY_URL=x', { ...BUN, runtimeArguments: ['--no-env-file'] }),
      undefined,
    )
  })
})
