// Runs the suites of the relay, and the attacks on it, in full size on every runtime that is supported: Node 20, 22, 24, 26
// and Bun, with the relay in a thread of its own and in the main one; and what has a full size of its own: the preload for
// children, the gateway's streaming, the interrupted install-ca. The Nodes come from npm, into node_modules/.cache; Bun is a dependency for development.

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const cache = join(root, 'node_modules/.cache/runtimes')
const nodePackage = `node-${process.platform}-${process.arch}`
const bunArchitecture = process.arch === 'arm64' ? 'aarch64' : process.arch

/** Binary of one of Node's lines, installed when it is not there yet. */
function provideNode(major) {
  const folder = join(cache, `node-${major}`)
  const binary = join(folder, 'node_modules', nodePackage, 'bin/node')
  if (!existsSync(binary)) {
    console.log(`fetching Node ${major} …`)
    mkdirSync(folder, { recursive: true })
    const npm = spawnSync('npm', ['install', '--no-save', '--prefix', folder, `${nodePackage}@${major}`], {
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    if (npm.status !== 0) throw new Error(`npm could not install ${nodePackage}@${major}`)
  }
  return binary
}

const runtimes = [20, 22, 24, 26].map((major) => `node${major}=${provideNode(major)}`)
const bun = join(root, `node_modules/@oven/bun-${process.platform}-${bunArchitecture}/bin/bun`)
if (existsSync(bun)) runtimes.push(`bun=${bun}`)
else console.log('bun: skipped, its package for this platform is not installed')

const words =
  process.argv.length > 2
    ? process.argv.slice(2)
    : ['relay', 'thread', 'init', 'attack', 'children/node-preload', 'gateway/streaming', 'install-ca/interruption']

function run(thread, ...words) {
  if (words.length === 0) return
  console.log(`thread ${thread}: ${words.join(' ')}`)
  const { status } = spawnSync(process.execPath, [join(root, 'test/run.mjs'), ...words], {
    stdio: 'inherit',
    env: { ...process.env, CCR_TEST_RUNTIMES: runtimes.join(','), CCR_TEST_LARGE: '1', CCR_TEST_THREAD: thread },
  })
  if (status !== 0) process.exitCode = status ?? 1
}

run('worker', ...words)
// What has a relay in it that can be in either.
run('main', ...words.filter((word) => /^(?:relay|init|attack)/.test(word)))
