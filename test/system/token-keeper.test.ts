// A token that is written anew while the relay runs: what is taken, when, and what never is. The gateway's answers are the test's.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { setTimeout as passed, setImmediate as turn } from 'node:timers/promises'
import { loadAddon } from '#src/addon.js'
import { UpstreamProxyError } from '#src/errors.js'
import { createLogger, type LogEntry } from '#src/log.js'
import type { SessionToken } from '#src/system/token.js'
import { TokenKeeper } from '#src/system/token-keeper.js'
import { createTempDirectory } from '../support/temp-dir.js'

const refused = new UpstreamProxyError('gateway-token-refused', 'the gateway answered the upgrade with 401')
const unreachable = new UpstreamProxyError('gateway-unreachable', 'nobody is there')

const textOf = (token: Pick<SessionToken, 'withToken'>): string => token.withToken((bytes) => bytes.toString())

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await passed(5)
}

/** As an orchestrator should. */
function replace(path: string, content: string, mode = 0o600): void {
  writeFileSync(`${path}.new`, content, { mode })
  renameSync(`${path}.new`, path)
}

type Answer = UpstreamProxyError | undefined | Promise<undefined>

interface Scene {
  readonly path: string
  readonly keeper: TokenKeeper
  /** Tokens that the gateway was asked about. */
  readonly tried: readonly string[]
  readonly entries: readonly LogEntry[]
  readonly codes: () => (string | undefined)[]
}

/** A keeper that has read `first`, and follows its file; `answer` is the gateway's to each trial. */
function start(
  t: TestContext,
  answer: (token: string, ended: AbortSignal) => Answer = () => undefined,
  assertHardened = () => {},
): Scene {
  const path = join(createTempDirectory(t), 'session_token')
  writeFileSync(path, 'first', { mode: 0o600 })
  const entries: LogEntry[] = []
  const tried: string[] = []
  const logger = createLogger('info', (entry) => entries.push(entry))
  const keeper = new TokenKeeper({ path, addon: loadAddon().addon, assertHardened, logger })
  t.after(() => keeper.wipe())
  keeper.follow(async (token, ended) => {
    tried.push(textOf(token))
    return await answer(textOf(token), ended)
  })
  return { path, keeper, tried, entries, codes: () => entries.map(({ code }) => code) }
}

/** What is no token, whoever put it there. */
const FOREIGN: readonly (readonly [string, string, (path: string) => void])[] = [
  ['a FIFO', 'token-unsafe', (path) => assert.equal(spawnSync('mkfifo', [path]).status, 0)],
  ['a folder', 'token-unsafe', (path) => mkdirSync(path)],
  [
    'a link to a token',
    'token-linked',
    (path) => {
      writeFileSync(`${path}.elsewhere`, 'other', { mode: 0o600 })
      symlinkSync(`${path}.elsewhere`, path)
    },
  ],
  ['a link to an endless device', 'token-linked', (path) => symlinkSync('/dev/zero', path)],
  [
    'a file of a gigabyte',
    'token-malformed',
    (path) => {
      writeFileSync(path, '', { mode: 0o600 })
      truncateSync(path, 2 ** 30)
    },
  ],
  ['garbage', 'token-malformed', (path) => writeFileSync(path, 'a\0b', { mode: 0o600 })],
  [
    'a token that others may write',
    'token-unsafe',
    (path) => {
      writeFileSync(path, 'other')
      chmodSync(path, 0o666)
    },
  ],
]

describe('a token that is written anew', { concurrency: true }, () => {
  test('is read, removed, and used once the gateway has taken it', async (t) => {
    let take = () => {}
    const taken = new Promise<undefined>((resolve) => (take = () => resolve(undefined)))
    const { path, keeper, tried } = start(t, () => taken)
    keeper.removeFile()
    const before = keeper.generation()
    replace(path, 'second\n')
    await until(() => tried.length === 1)
    assert.ok(!existsSync(path))
    assert.deepEqual([textOf(keeper), keeper.generation()], ['first', before])
    take()
    await until(() => textOf(keeper) === 'second')
    assert.notEqual(keeper.generation(), before)
    assert.deepEqual(tried, ['second'])
  })

  test('is used where its file cannot be removed, too, and not taken again', async (t) => {
    const { path, keeper, tried } = start(t)
    // The first one stays, as on a mount that is read only.
    replace(path, 'second')
    await until(() => textOf(keeper) === 'second')
    replace(path, 'third')
    await until(() => textOf(keeper) === 'third')
    assert.deepEqual(tried, ['second', 'third'])
  })

  test('may come in the file that was emptied', async (t) => {
    const { path, keeper } = start(t)
    truncateSync(path)
    writeFileSync(path, 'second')
    await until(() => textOf(keeper) === 'second')
  })

  test('is not read while it is being written', async (t) => {
    const { path, keeper, tried } = start(t)
    keeper.removeFile()
    const begun = performance.now()
    writeFileSync(path, 's', { mode: 0o600 })
    while (performance.now() - begun < 1_500) {
      appendFileSync(path, 's')
      await turn()
    }
    writeFileSync(path, 'second')
    await until(() => textOf(keeper) === 'second')
    assert.deepEqual(tried, ['second'])
  })

  test('leaves the old one in use while the gateway refuses it, with a warning', async (t) => {
    const { path, keeper, tried, codes } = start(t, (token) => (token === 'bad' ? refused : undefined))
    keeper.removeFile()
    replace(path, 'bad')
    await until(() => tried.length === 2)
    assert.deepEqual([textOf(keeper), codes()], ['first', ['token-not-renewed']])
    replace(path, 'second')
    await until(() => textOf(keeper) === 'second')
  })

  test('is tried again after a gateway that cannot be reached', async (t) => {
    const answers = [unreachable, undefined]
    const { path, keeper, entries } = start(t, () => answers.shift())
    keeper.removeFile()
    replace(path, 'second')
    await until(() => textOf(keeper) === 'second')
    assert.match(entries[0]?.message ?? '', /^a new session token is not used yet: nobody is there$/)
  })

  test('gives way to one that comes after it, and its trial ends', async (t) => {
    const ended: string[] = []
    const { path, keeper, tried } = start(t, (token, signal) => {
      if (token !== 'second') return undefined
      return new Promise((resolve) => signal.addEventListener('abort', () => resolve(void ended.push(token))))
    })
    keeper.removeFile()
    replace(path, 'second')
    await until(() => tried.length === 1)
    replace(path, 'third')
    await until(() => textOf(keeper) === 'third')
    assert.deepEqual(ended, ['second'])
  })

  for (const [title, code, put] of FOREIGN) {
    test(`is not there: ${title} is ${code}, once, and stays; a token after it is taken`, async (t) => {
      const { path, keeper, tried, codes } = start(t)
      keeper.removeFile()
      put(path)
      await until(() => codes().length > 0)
      assert.deepEqual([codes(), textOf(keeper), existsSync(path)], [[code], 'first', true])
      rmSync(path, { recursive: true })
      replace(path, 'second')
      await until(() => textOf(keeper) === 'second')
      assert.deepEqual([codes().filter((seen) => seen === code).length, tried], [1, ['second']])
    })
  }

  test('stays unread while the process is not hardened', async (t) => {
    let isHardened = true
    const assertHardened = (): void => {
      if (!isHardened) throw new UpstreamProxyError('harden-failed', 'the process is dumpable')
    }
    const { path, keeper, tried, codes } = start(t, undefined, assertHardened)
    keeper.removeFile()
    isHardened = false
    replace(path, 'second')
    await until(() => codes().length > 0)
    assert.deepEqual([codes(), readFileSync(path, 'utf8'), tried], [['harden-failed'], 'second', []])
    isHardened = true
    await until(() => textOf(keeper) === 'second')
  })

  test('is not used where the process was opened while it was read', async (t) => {
    let calls = 0
    const { path, keeper, tried, codes } = start(t, undefined, () => {
      // Before it is read, and after.
      if (++calls === 3) throw new UpstreamProxyError('harden-failed', 'the process is dumpable')
    })
    keeper.removeFile()
    replace(path, 'second')
    await until(() => codes().length > 0)
    assert.deepEqual([codes(), existsSync(path), tried], [['harden-failed'], true, []])
  })

  test('is not looked for once the keeper was stopped', async (t) => {
    const { path, keeper, tried } = start(t)
    const other = start(t)
    keeper.removeFile()
    keeper.stop()
    replace(path, 'second')
    replace(other.path, 'second')
    await until(() => textOf(other.keeper) === 'second')
    assert.deepEqual([textOf(keeper), existsSync(path), tried], ['first', true, []])
  })
})
