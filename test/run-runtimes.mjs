// Runs the suites of the relay, and the attacks on it, on every runtime that is supported: Node 20, 22, 24, 26 and Bun, each with the
// relay in a thread of its own or in the main one. Node 20 and Bun with a thread have had `npm test` and `npm run test:long`.
// `--full`: everything on every runtime, in either thread and in full size, which takes an hour. The Nodes come from npm, into
// node_modules/.cache; `--fetch` does no more than that. Bun is a dependency for development.

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

const FLAGS = ['--full', '--fetch']
const [isFull, isFetch] = FLAGS.map((flag) => process.argv.includes(flag))
const words = process.argv.slice(2).filter((word) => !FLAGS.includes(word))
const runtimes = new Map([20, 22, 24, 26].map((major) => [`node${major}`, provideNode(major)]))
const bun = join(root, `node_modules/@oven/bun-${process.platform}-${bunArchitecture}/bin/bun`)
if (existsSync(bun)) runtimes.set('bun', bun)
else {
  console.log('bun: skipped, its package for this platform is not installed')
  if (process.env.CCR_TEST_SKIPS === 'fail') process.exitCode = 1
}

const relaySuites = (...names) => names.map((name) => `relay/${name}.`)

/** What goes by the line of a runtime: its sockets and TLS, its start, its memory. */
const RUNTIME = [
  ...relaySuites('bypass', 'cluster', 'connect', 'gateway-dialer', 'many-tunnels', 'tls-session', 'transfer'),
  ...['memory', 'secrecy', 'signals', 'start'].map((name) => `attack/${name}.`),
]
/** What goes by the thread besides. */
const THREAD = [
  ...relaySuites('bun-connection', 'keepalive', 'monitor', 'prometheus', 'status', 'tunnel-log'),
  'attack/seccomp',
  'attack/starts',
]
/** What starts a relay within the Node that runs the tests: that has had its default, a thread. */
const START = ['init/bundle', 'init/close', 'init/enabled', 'init/nested']
/** With `--full`: every suite of a relay, which may be in either thread, and what else goes by the runtime. */
const FULL = ['relay/', 'attack/', 'init/']
const FULL_BESIDES = ['thread/', 'gateway/streaming', 'install-ca/interruption', 'children/node-preload']

function run(thread, names, suites, { isLarge = false } = {}) {
  const named = names.filter((name) => runtimes.has(name))
  const chosen = words.length === 0 ? suites : words.filter((word) => thread === 'worker' || word !== 'thread')
  if (named.length === 0 || chosen.length === 0) return
  console.log(`\nthread ${thread}, ${isLarge ? 'full size' : 'short'}, ${named.join(' ')}: ${chosen.join(' ')}`)
  const { CCR_TEST_LARGE: _, ...environment } = process.env
  const { status } = spawnSync(process.execPath, [join(root, 'test/run.mjs'), ...chosen], {
    stdio: 'inherit',
    env: {
      ...environment,
      CCR_TEST_RUNTIMES: named.map((name) => `${name}=${runtimes.get(name)}`).join(','),
      CCR_TEST_THREAD: thread,
      ...(isLarge && { CCR_TEST_LARGE: '1' }),
    },
  })
  if (status !== 0) process.exitCode = status ?? 1
}

if (isFetch) {
  console.log([...runtimes.keys()].join(' '))
} else if (isFull) {
  run('worker', [...runtimes.keys()], [...FULL, ...FULL_BESIDES], { isLarge: true })
  run('main', [...runtimes.keys()], FULL, { isLarge: true })
} else {
  run('worker', ['node24', 'node26'], RUNTIME)
  run('worker', ['node26'], ['thread/'])
  run('main', ['node22', 'bun'], [...RUNTIME, ...THREAD, ...START])
}
