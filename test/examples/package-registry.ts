// An npm registry on loopback with this package, as `npm pack` makes it, and the two that it depends on: what a user installs
// is installed, without a network.

import { mkdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { run } from '../support/cli-process.js'
import { listen } from '../support/listening.js'
import { createTempDirectory, type Scope } from '../support/temp-dir.js'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const FOLDERS = ['.', './node_modules/ws', './node_modules/node-gyp-build']

interface Packed {
  readonly name: string
  readonly version: string
  readonly filename: string
  readonly integrity: string
}

/** What configures npm and Bun for a registry, and keeps them off everything else. */
export interface PackageRegistry {
  readonly environment: Readonly<Record<string, string>>
}

/** Packs and serves; it goes with `scope`. */
export async function startPackageRegistry(scope: Scope): Promise<PackageRegistry> {
  const folder = createTempDirectory(scope, 'registry')
  const packages = await pack(scope, folder)
  const server = createServer(({ url = '', headers }, response) => {
    const [, name, file] = /^\/([\w-]+)(?:\/-\/([\w.-]+))?$/.exec(url) ?? []
    const found = packages.find((packed) => packed.name === name && (file === undefined || packed.filename === file))
    if (found === undefined) response.writeHead(404).end()
    else if (file !== undefined) response.end(readFileSync(join(folder, file)))
    else response.setHeader('Content-Type', 'application/json').end(describe(found, `http://${headers.host}`))
  })
  const { address } = await listen(scope, server)
  return {
    environment: {
      npm_config_registry: `http://${address}/`,
      npm_config_fetch_retries: '0',
      npm_config_update_notifier: 'false',
      npm_config_audit: 'false',
      npm_config_fund: 'false',
      // What is packed is compiled already, and compiling would take the files from under the other tests.
      npm_config_ignore_scripts: 'true',
    },
  }
}

async function pack(scope: Scope, folder: string): Promise<readonly Packed[]> {
  const home = join(folder, 'home')
  mkdirSync(home)
  const args = ['pack', '--ignore-scripts', '--json', '--pack-destination', folder, ...FOLDERS]
  const { exitCode, stdout, stderr } = await run(scope, 'npm', args, {
    cwd: ROOT,
    env: { PATH: process.env.PATH, HOME: home },
  })
  if (exitCode !== 0) throw new Error(`npm pack: ${stderr}`)
  return JSON.parse(stdout) as Packed[]
}

/** The metadata of a package: https://github.com/npm/registry/blob/main/docs/responses/package-metadata.md */
function describe({ name, version, filename, integrity }: Packed, origin: string): string {
  const folder = name === 'ccr-upstream-proxy' ? '.' : `node_modules/${name}`
  const manifest = JSON.parse(readFileSync(join(ROOT, folder, 'package.json'), 'utf8')) as object
  const dist = { tarball: `${origin}/${name}/-/${filename}`, integrity }
  return JSON.stringify({ name, 'dist-tags': { latest: version }, versions: { [version]: { ...manifest, dist } } })
}
