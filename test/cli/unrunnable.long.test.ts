// Commands that cannot be started: one line with a hint, the code that a shell gives, and nothing left.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, it } from 'node:test'
import { CLI_FILE, run } from '../support/cli-process.js'
import { describeOnEachRuntime } from '../support/runtimes.js'
import { createSession, type System, startSystem } from '../support/system.js'
import { SharedScope } from '../support/temp-dir.js'
import { chooseActor, listTree } from '../support/unprivileged.js'

const setup = new SharedScope()
after(() => setup.end())
const system: System = await startSystem(setup)
const self = { ...chooseActor(setup), own: () => {} }

interface Command {
  readonly title: string
  readonly exitCode: 126 | 127
  readonly code: string
  /** Of the system; any where runtimes differ. */
  readonly errno: RegExp
  /** The command, made in an empty folder. */
  readonly make: (folder: string) => readonly [string, ...string[]]
  readonly env?: Readonly<Record<string, string>>
}

/** As long as execve(2) lets one string be, so that it is too long with what the proxy adds. */
function longNoProxy(): string {
  const hosts = Array.from({ length: 7_300 }, (_, index) => `host${10_000 + index}.example`)
  return hosts.join(',').slice(0, 131_071 - 'NO_PROXY='.length)
}

function file(name: string, content: string | Uint8Array, mode: number): Command['make'] {
  return (folder) => {
    writeFileSync(join(folder, name), content, { mode })
    return [join(folder, name)]
  }
}

const COMMANDS: readonly Command[] = [
  {
    title: 'is nowhere on the PATH',
    exitCode: 127,
    code: 'command-not-found',
    errno: /ENOENT/,
    make: () => ['no-such-command-here'],
  },
  { title: 'has no name', exitCode: 127, code: 'command-not-found', errno: /\w+/, make: () => [''] },
  {
    title: 'lies below a file',
    exitCode: 127,
    code: 'command-not-found',
    errno: /ENOTDIR/,
    make: (folder) => {
      writeFileSync(join(folder, 'file'), '')
      return [join(folder, 'file', 'command')]
    },
  },
  {
    title: 'is a script of an interpreter that is missing',
    exitCode: 127,
    code: 'command-not-found',
    errno: /ENOENT/,
    make: file('script', '#!/no/such/interpreter\n', 0o755),
  },
  {
    title: 'may not be executed',
    exitCode: 126,
    code: 'command-not-runnable',
    errno: /EACCES/,
    make: file('script', '#!/bin/sh\n', 0o644),
  },
  { title: 'is a folder', exitCode: 126, code: 'command-not-runnable', errno: /EACCES/, make: (folder) => [folder] },
  {
    title: 'would get a variable that is too long',
    exitCode: 126,
    code: 'command-not-runnable',
    errno: /E2BIG/,
    make: () => ['true'],
    env: { NO_PROXY: longNoProxy() },
  },
]

describeOnEachRuntime('run with a command', (runtime) => {
  for (const { title, exitCode, code, errno, make, env = {} } of COMMANDS) {
    it(`that ${title} ends with ${exitCode}`, async (t) => {
      const session = createSession(t, self, system.environment)
      const result = await run(t, runtime.path, [CLI_FILE, 'run', '--', ...make(session.directory)], {
        env: { ...session.env, ...env },
        cwd: session.directory,
      })
      assert.equal(result.exitCode, exitCode, result.stderr)
      assert.equal(result.stdout, '')
      const line = /^ccr-upstream-proxy: error \[([a-z-]+)\] .* \((\w+)\); hint: [^\n]+\n$/.exec(result.stderr)
      assert.equal(line?.[1], code, result.stderr)
      assert.match(line?.[2] ?? '', errno)
      assert.deepEqual(listTree(session.temporary), [])
    })
  }
})
