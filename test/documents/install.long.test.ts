// The way from a clone to a command that works, as README's Install writes it, in folders where nothing of this repository is
// found: npm gets what the package needs from a registry on loopback.

import assert from 'node:assert/strict'
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { ORIGIN_HOST, Stage } from '../demo/stage.js'
import { startPackageRegistry } from '../examples/package-registry.js'
import { run } from '../support/cli-process.js'
import { createTempDirectory, SharedScope } from '../support/temp-dir.js'
import { commandDocuments, documentText, fencedBlocks, sectionOf } from './markdown.js'
import { scriptCommands } from './shell-commands.js'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const { version } = JSON.parse(documentText('package.json')) as { version: string }
const TARBALL = `ccr-upstream-proxy-${version}.tgz`

/** The build is there, and a test cannot install what builds it. */
const BUILD = 'npm ci && '

const blocks = fencedBlocks(sectionOf(documentText('README.md'), '## Install'))
const [commands = [], ofProgram = []] = blocks.map(({ text }) => scriptCommands(text).map((command) => command.text))

test('every packed file in a document is of this version', () => {
  const texts = commandDocuments().map((path) => documentText(path))
  const versions = texts.flatMap((text) => [...text.matchAll(/ccr-upstream-(?:proxy|gateway)-([\w.-]+)\.tgz/g)])
  assert.deepEqual(new Set(versions.map(([, name]) => name)), new Set([version]))
})

describe("README's Install", { timeout: 1_800_000 }, () => {
  const scope = new SharedScope()
  const stage = new Stage()
  const home = createTempDirectory(scope, 'install')
  const [image, program] = [join(home, 'image'), join(home, 'program')]
  let environment: Record<string, string>

  before(async () => {
    const [{ environment: registry }] = await Promise.all([startPackageRegistry(scope), stage.open()])
    const { PATH = '', ...configuration } = stage.environment
    environment = {
      ...configuration,
      ...registry,
      // Without the stage's own command.
      PATH: [join(home, 'global/bin'), ...PATH.split(delimiter).slice(1)].join(delimiter),
      HOME: home,
      TMPDIR: createTempDirectory(scope, 'install-tmp'),
      npm_config_prefix: join(home, 'global'),
      npm_config_pack_destination: image,
      CCR_SESSION_TOKEN_PATH: join(stage.folder, 'session_token'),
      CCR_UPSTREAM_PROXY_GATEWAY_CA: join(stage.folder, 'gateway-root.pem'),
    }
    for (const folder of [image, program]) {
      mkdirSync(folder)
      const agent = stage.nodeClient.map((word) => `'${word}'`).join(' ')
      const scripts = { test: `${agent} https://${ORIGIN_HOST}/v1/me` }
      writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, scripts }))
    }
  })
  after(async () => {
    await scope.end()
    await stage.close()
  })

  async function inShell(command: string, cwd: string): Promise<string> {
    stage.provideToken()
    const { exitCode, stdout, stderr } = await run(scope, 'sh', ['-c', command], { env: environment, cwd })
    assert.equal(exitCode, 0, `${command}: ${stdout}${stderr}`)
    return stdout
  }

  test('makes the command that the rest of README calls', async () => {
    const [packing = '', ...installing] = commands
    assert.ok(packing.startsWith(BUILD), packing)
    assert.equal((await inShell(packing.replace(BUILD, ''), ROOT)).trim(), TARBALL)
    for (const command of installing) await inShell(command, image)
    assert.equal(
      await inShell('command -v ccr-upstream-proxy', image),
      `${join(home, 'global/bin/ccr-upstream-proxy')}\n`,
    )
    assert.ok(documentText('README.md').includes('\nccr-upstream-proxy run -- npm test\n'))
    assert.match(await inShell('ccr-upstream-proxy run -- npm test', image), /authorization: Bearer demo-secret-/)
  })

  test('makes a command for npx in the folder of a program', async () => {
    copyFileSync(join(image, TARBALL), join(program, TARBALL))
    // npx would take the one of the test before.
    environment = { ...environment, npm_config_prefix: join(home, 'other') }
    const outputs: string[] = []
    for (const command of ofProgram) outputs.push(await inShell(command, program))
    assert.match(outputs.at(-1) ?? '', /authorization: Bearer demo-secret-/)
  })
})
