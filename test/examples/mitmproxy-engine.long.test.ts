// examples/mitmproxy-engine: the commands of its README in one shell, with the real mitmproxy.

import assert from 'node:assert/strict'
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { isInstalled, RunningProcess } from '../support/cli-process.js'
import { freePort } from '../support/listening.js'
import { originCa, startOrigin } from '../support/origin.js'
import { type Scope, SharedScope } from '../support/temp-dir.js'
import { copyExample, readmeBlocks, readmeCommands } from './example.js'

const scope = new SharedScope()
const tools = ['bash', 'curl', 'mitmdump']
const installed = await Promise.all(tools.map((tool) => isInstalled(scope, tool)))
const missing = tools.filter((_, index) => !installed[index])
await scope.end()

test('mitmproxy behind the gateway injects the credential, and the audit has the line that the README shows', {
  skip: missing.length > 0 && `not installed: ${missing.join(', ')}`,
  timeout: 1_800_000,
}, async (t) => {
  const folder = copyExample(t, 'mitmproxy-engine')
  for (const name of ['node_modules', 'gateway']) {
    symlinkSync(fileURLToPath(new URL(`../../../${name}`, import.meta.url)), join(folder, '../..', name))
  }
  const origin = await startOrigin(t)
  writeFileSync(join(folder, 'origin-root.pem'), originCa.rootPem)
  writeFileSync(join(folder, 'route.py'), ROUTE)
  const ports = { 8080: await freePort(), 8443: await freePort() }
  const withPorts = (text: string) => text.replace(/\b(8080|8443)\b/g, (port) => `${ports[port as '8080' | '8443']}`)
  writeFileSync(join(folder, 'gateway.yaml'), withPorts(readFileSync(join(folder, 'gateway.yaml'), 'utf8')))

  const shell = new Shell(t, folder, { ORIGIN_PORT: `${origin.port}` })
  const outputs = new Map<string, string>()
  for (const command of readmeCommands('mitmproxy-engine')) {
    // Where the name leads, and the root of its certificate: a network would know.
    const line = command.replace(
      'mitmdump',
      `mitmdump --scripts route.py --set ssl_verify_upstream_trusted_ca=origin-root.pem`,
    )
    outputs.set(command.split(' ')[0] ?? '', await shell.run(withPorts(line)))
  }
  assert.match(outputs.get('ccr-upstream-proxy') ?? '', /"authorization":"Bearer secret-of-the-gateway"/)
  const [shown = ''] = readmeBlocks('mitmproxy-engine', 'text')
  // `run` cuts off what is open when its command has ended, and whether curl's tunnel still was is a matter of luck.
  const keys = (text = '') => Object.keys(JSON.parse(text) as object).filter((key) => key !== 'error')
  // mitmproxy writes to the same terminal.
  const record = (outputs.get('cat') ?? '').split('\n').find((line) => line.startsWith('{'))
  assert.deepEqual(keys(record).sort(), keys(shown).sort())
  const { session, mode, host } = JSON.parse(record ?? '') as Record<string, unknown>
  assert.deepEqual([session, mode, host], ['session', 'tunnel', 'api.example.com'])
})

/** Sends every connection to the test's origin. */
const ROUTE = `import os
def server_connect(data):
    data.server.address = ("127.0.0.1", int(os.environ["ORIGIN_PORT"]))
`

/** What says that a program in the background is ready. */
const READY: Readonly<Record<string, RegExp>> = {
  mitmdump: /server listening at \S+/i,
  'ccr-upstream-gateway': /listening on \S+/,
}

/** A shell as somebody types into it: with aliases and jobs, one command after the other. */
class Shell {
  readonly #bash: RunningProcess
  #count = 0

  constructor(scope: Scope, cwd: string, env: Readonly<Record<string, string>>) {
    const machine = { PATH: process.env.PATH, HOME: cwd, TMPDIR: cwd, LC_ALL: 'C.UTF-8', PYTHONUNBUFFERED: '1' }
    this.#bash = new RunningProcess(scope, 'bash', ['-O', 'expand_aliases'], { cwd, env: { ...machine, ...env } })
    scope.after(() => this.end())
  }

  /** Resolves to what the command wrote, when it has ended well, or is ready in the background. */
  async run(command: string): Promise<string> {
    if (command.endsWith(' &')) {
      const [, ready] = Object.entries(READY).find(([program]) => command.includes(program)) ?? []
      assert.ok(ready !== undefined, command)
      const pattern = new RegExp(ready.source, ready.flags)
      this.#bash.write(`${command.slice(0, -2)} 2>&1 &\n`)
      return (await this.#bash.until(pattern)).input
    }
    const mark = `end of command ${++this.#count}: `
    const before = this.#bash.stdout.length
    this.#bash.write(`${command}\necho "${mark}$?"\n`)
    const { index, 1: exitCode } = await this.#bash.until(new RegExp(`${mark}(\\d+)\n`))
    const output = this.#bash.stdout.slice(before, index)
    assert.equal(exitCode, '0', `${command}: ${output}${this.#bash.stderr}`)
    return output
  }

  /** Ends the jobs that are left, so that none outlives the test. */
  async end(): Promise<void> {
    this.#bash.write('kill $(jobs -p) 2>/dev/null; wait\n')
    this.#bash.endInput()
    await this.#bash.ended
  }
}
