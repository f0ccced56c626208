// The quick start of gateway/README.md, command by command: a gateway in one shell and a container in another. Its README names a
// host of the internet; here the gateway finds an origin on loopback in its place.

import assert from 'node:assert/strict'
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { test } from 'node:test'
import { createCertificateAuthority, issueServerCertificate } from 'ccr-upstream-gateway'
import { startEchoOrigin } from '../demo/echo-origin.js'
import { isInstalled, RunningProcess } from '../support/cli-process.js'
import { createTempDirectory, type Scope } from '../support/temp-dir.js'
import { documentText, fencedBlocks, sectionOf } from './markdown.js'
import { checkNotRun } from './not-run.js'
import { createPrograms } from './place.js'
import { scriptCommands, withoutComment } from './shell-commands.js'
import { ShellSession } from './shell-session.js'

const README = documentText('gateway/README.md')
const HOST = 'example.com'

function commandsUnder(heading: string): string[][] {
  const blocks = fencedBlocks(sectionOf(README, heading))
  return blocks.map(({ text }) => scriptCommands(text).map((command) => withoutComment(command.text)))
}

/** Starts an origin with the name of the host; gives what a config needs to find it and to trust it. */
async function startOrigin(t: Scope, folder: string): Promise<string> {
  const authority = await createCertificateAuthority({ days: 1 })
  const { certificatePem: cert, privateKeyPem: key } = await issueServerCertificate(authority, [HOST])
  const origin = await startEchoOrigin(t, { cert, key })
  writeFileSync(join(folder, 'origin-root.pem'), authority.certificatePem)
  return `upstream: { caFiles: [origin-root.pem], connectTo: { "${HOST}:443": "127.0.0.1:${origin.port}" } }\n`
}

test("what the gateway's README installs cannot be installed here", () => {
  for (const command of commandsUnder('## Install').flat()) assert.match(checkNotRun(command) ?? '', /registry/)
})

test("the quick start of the gateway's README works as it is written", { timeout: 1_800_000 }, async (t) => {
  if (!(await isInstalled(t, 'curl'))) return t.skip('curl is not installed')
  const [ofGateway = [], ofContainer = []] = commandsUnder('## Quick start')
  const home = createTempDirectory(t, 'quick-start')
  const folder = join(home, 'folder')
  mkdirSync(folder)
  const env = { PATH: [createPrograms(home), process.env.PATH].join(delimiter), HOME: home, TMPDIR: home }

  const first = new ShellSession(t, { cwd: folder, env })
  const serving = ofGateway.pop() ?? ''
  for (const command of ofGateway) {
    const { output, exitCode } = await first.run(command.replace('127.0.0.1:8443', '127.0.0.1:0'))
    assert.equal(exitCode, 0, `${command}: ${output}`)
  }
  appendFileSync(join(folder, 'gateway.yaml'), await startOrigin(t, folder))
  const environment = { ...env, API_KEY: 'your-api-key' }
  const gateway = new RunningProcess(t, 'sh', ['-c', `exec ${serving}`], { env: environment, cwd: folder })
  const [, address = ''] = await gateway.until(/listening on \S*?(127\.0\.0\.1:\d+)/, 'stderr')

  const second = new ShellSession(t, { cwd: folder, env })
  let last = ''
  for (const command of ofContainer) {
    const { output, exitCode } = await second.run(command.replace('127.0.0.1:8443', address))
    assert.equal(exitCode, 0, `${command}: ${output}`)
    last = output
  }
  assert.match(last, /^HTTP\/[\d.]+ 200 /m)
  assert.doesNotMatch(last, /ccr-upstream-proxy:/)
  await gateway.until(new RegExp(`"host":"${HOST}".*"injected":\\["authorization"\\]`))
})
