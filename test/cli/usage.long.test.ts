// What the command line says of itself, and what it says to those who call it otherwise.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { CLI_FILE, type Outcome, run } from '../support/cli-process.js'
import type { Scope } from '../support/temp-dir.js'

const COMMANDS = ['run', 'relay', 'env', 'status', 'top', 'doctor', 'install-ca', 'uninstall-ca']

/** What stands behind an option that takes a value. */
const VALUES: Readonly<Record<string, string>> = {
  '--port': '0',
  '--format': 'sh',
  '--root': '/',
  '--ca-file': 'ca.pem',
  '--only': 'system',
  '--java-keystore': 'auto',
  '--log': 'tunnels.jsonl',
  '--interval': '1',
  '--url': 'https://example.com/',
  '--client': 'node',
}

function cli(t: Scope, ...args: string[]): Promise<Outcome> {
  return run(t, process.execPath, [CLI_FILE, ...args], { env: { PATH: process.env.PATH } })
}

describe('the help', { concurrency: 2, timeout: 1_800_000 }, () => {
  for (const args of [
    ['--help'],
    ['-h'],
    ['help'],
    ...COMMANDS.flatMap((name) => [
      [name, '--help'],
      [name, '-h'],
    ]),
  ]) {
    it(`is shown by ${args.join(' ')}`, async (t) => {
      const { exitCode, stdout, stderr } = await cli(t, ...args)
      assert.equal(exitCode, 0)
      assert.equal(stderr, '')
      const [command = ''] = args
      const usage = COMMANDS.includes(command)
        ? `Usage: ccr-upstream-proxy ${command} `
        : 'Usage: ccr-upstream-proxy COMMAND'
      assert.ok(stdout.startsWith(usage), stdout)
    })
  }

  it('names every command and no option that is not taken', async (t) => {
    const { stdout } = await cli(t, '--help')
    for (const name of COMMANDS) assert.match(stdout, new RegExp(`^  ${name} `, 'm'))
    for (const name of COMMANDS) {
      const help = (await cli(t, name, '--help')).stdout
      const options = new Set(help.match(/(?<![\w-])--?[a-z][a-z-]*/g))
      const args = [...options].flatMap((option) => (VALUES[option] === undefined ? option : [option, VALUES[option]]))
      // With --help among them nothing is started, and an option that is not known is still a usage error, which names it.
      const { exitCode, stderr } = await cli(t, name, ...args)
      assert.equal(exitCode, 0, `${name} ${args.join(' ')}: ${stderr}`)
    }
  })

  it('is followed by the version of the package', async (t) => {
    const file = fileURLToPath(import.meta.resolve('ccr-upstream-proxy/package.json'))
    const { version } = JSON.parse(readFileSync(file, 'utf8')) as { version: string }
    const { exitCode, stdout, stderr } = await cli(t, '--version')
    assert.deepEqual([exitCode, stderr], [0, ''])
    const of = `${version} (Node ${process.versions.node}, ${process.platform}-${process.arch}, addon loaded)`
    assert.equal(stdout, `${of}\n`)
  })

  it('is that of a command by help COMMAND', async (t) => {
    for (const name of ['run', 'install-ca']) {
      const byOption = await cli(t, name, '--help')
      assert.deepEqual(await cli(t, 'help', name), byOption)
    }
  })
})

describe('a wrong call', { concurrency: 2, timeout: 1_800_000 }, () => {
  const WRONG = [
    [],
    ['start'],
    ['constructor'],
    ['--verbose'],
    ['run'],
    ['run', '--'],
    ['run', '--require'],
    ['run', '--unknown', 'true'],
    ['run', '--require=yes', 'true'],
    ['run', '--log'],
    ['run', '--log', 'tunnels.jsonl'],
    ['relay', '--log'],
    ['status', 'extra'],
    ['top', '--interval', '0'],
    ['top', '--interval', '1s'],
    ['relay', '--port'],
    ['relay', '--port', '65536'],
    ['relay', '--port', '-1'],
    ['relay', '--port', '080'],
    ['relay', '--port', '1e3'],
    ['relay', '--port', ''],
    ['relay', 'extra'],
    ['relay', '--yaml'],
    ['doctor', 'extra'],
    ['doctor', '--fix'],
    ['install-ca', 'extra'],
    ['install-ca', '--root'],
    ['install-ca', '--root', '/nonexistent'],
    ['install-ca', '--root', '/etc/passwd'],
    ['install-ca', '--root', ''],
    ['install-ca', '--only', 'everything'],
    ['install-ca', '--only', ''],
    ['install-ca', '--only', 'system,'],
    ['install-ca', '--java-keystore', 'cacerts'],
    ['uninstall-ca', '--ca-file', 'ca.pem'],
    ['uninstall-ca', '--root', '/nonexistent'],
  ]
  for (const args of WRONG) {
    it(`is told what to do: ${JSON.stringify(args)}`, async (t) => {
      const { exitCode, stdout, stderr } = await cli(t, ...args)
      assert.equal(exitCode, 2, stderr)
      assert.equal(stdout, '')
      const command = COMMANDS.includes(args[0] ?? '') ? ` ${args[0]}` : ''
      assert.match(stderr, new RegExp(`^ccr-upstream-proxy: [^\\n]+; see ccr-upstream-proxy${command} --help\\n$`))
    })
  }

  it('is told which command was meant', async (t) => {
    assert.match((await cli(t, 'statsu')).stderr, /there is no command statsu; there is status;/)
    assert.match((await cli(t, 'help', 'docotr')).stderr, /there is no command docotr; there is doctor;/)
    assert.match((await cli(t, 'deploy')).stderr, /there is no command deploy; see/)
  })
})
