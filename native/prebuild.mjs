// Builds prebuilds/ from native/, and tells whether prebuilds/ still belongs to native/. `--check` needs Node alone: it
// compares digests, and builds nothing. The manifest has sha256sum(1)'s format: `sha256sum -c` at the package's root.

import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const MANIFEST = 'prebuilds/SHA256SUMS'

// All are built at each run, so that none is left behind from older sources. A cross-compiled one adds its tools, such
// as { arch: 'arm64', libc: 'glibc', env: { CC: 'aarch64-linux-gnu-gcc', CXX: 'aarch64-linux-gnu-g++' },
// strip: 'aarch64-linux-gnu-strip' }.
const TARGETS = [{ platform: 'linux', arch: 'x64', libc: 'glibc', env: {}, strip: 'strip' }]

// The oldest Node-API host that we support. It only picks the headers that node-gyp would download.
const NODE_VERSION = '20.0.0'

const prebuildPath = ({ platform, arch, libc }) => `prebuilds/${platform}-${arch}/ccr-upstream-proxy.${libc}.node`

const listFiles = (root, folder, extensions) =>
  readdirSync(join(root, folder), { recursive: true })
    .map((name) => `${folder}/${name}`)
    .filter((path) => extensions.some((extension) => path.endsWith(extension)))

function createManifest(root) {
  const sources = listFiles(root, 'native', ['.cc', '.h', '.map'])
  const paths = ['binding.gyp', ...sources, ...listFiles(root, 'prebuilds', ['.node'])].sort()
  const digest = (path) =>
    createHash('sha256')
      .update(readFileSync(join(root, path)))
      .digest('hex')
  return paths.map((path) => `${digest(path)}  ${path}\n`).join('')
}

/** The paths whose line is in one of the two manifests only. */
function differingPaths(one, other) {
  const lines = [one.split('\n'), other.split('\n')]
  const differing = [...lines[0].filter((x) => !lines[1].includes(x)), ...lines[1].filter((x) => !lines[0].includes(x))]
  return [...new Set(differing.map((line) => line.split('  ')[1]))]
}

function check(root) {
  const missing = [MANIFEST, ...TARGETS.map(prebuildPath)].filter((path) => !existsSync(join(root, path)))
  if (missing.length > 0) return fail(`missing: ${missing.join(', ')}: run npm run prebuild`)
  const stale = differingPaths(readFileSync(join(root, MANIFEST), 'utf8'), createManifest(root))
  const tampered = stale.filter((path) => path.startsWith('prebuilds/'))
  if (tampered.length > 0) return fail(`not as ${MANIFEST} says: ${tampered.join(', ')}: run npm run prebuild`)
  if (stale.length > 0) {
    return fail(`prebuilds/ were not built from the present native/: run npm run prebuild (${stale.join(', ')})`)
  }
}

/** The headers that came with the running node, if any: node-gyp would download some. */
function localHeaders() {
  const prefix = dirname(dirname(process.execPath))
  return existsSync(join(prefix, 'include/node/node_api.h')) ? { npm_config_nodedir: prefix } : {}
}

function assertCompiler(target) {
  const compiler = target.env.CXX ?? process.env.CXX ?? 'c++'
  const { error } = spawnSync(compiler, ['--version'], { stdio: 'ignore' })
  if (error) throw new Error(`no C++ compiler: ${compiler} does not start (${error.code}); on Debian: apt install g++`)
}

function buildTarget(root, target, out) {
  assertCompiler(target)
  console.log(`building ${prebuildPath(target)}`)
  const prebuildify = createRequire(import.meta.url).resolve('prebuildify/bin.js')
  const which = ['--napi', '-t', NODE_VERSION, '--platform', target.platform, '--arch', target.arch]
  const how = ['--strip', '--strip-bin', target.strip, '--tag-libc', target.libc, '--out', out]
  // What npm was told wins over what is found.
  const env = { ...localHeaders(), ...process.env, ...target.env }
  const { status, stdout, stderr } = spawnSync(process.execPath, [prebuildify, ...which, ...how], { cwd: root, env })
  if (status !== 0) throw new Error(`${prebuildPath(target)} was not built:\n${stdout}${stderr}`)
}

/** Builds aside and replaces prebuilds/ at the end: a failing compiler leaves the committed files as they are. */
function build(root) {
  const out = mkdtempSync(join(tmpdir(), 'ccr-upstream-proxy-prebuild-'))
  try {
    for (const target of TARGETS) buildTarget(root, target, out)
    rmSync(join(root, 'prebuilds'), { recursive: true, force: true })
    cpSync(join(out, 'prebuilds'), join(root, 'prebuilds'), { recursive: true })
  } finally {
    rmSync(out, { recursive: true, force: true })
    rmSync(join(root, 'build'), { recursive: true, force: true })
  }
  writeFileSync(join(root, MANIFEST), createManifest(root))
  console.log(`wrote ${MANIFEST}`)
}

function fail(message) {
  console.error(`prebuild: ${message}`)
  process.exitCode = 1
}

const root = dirname(dirname(fileURLToPath(import.meta.url)))
try {
  if (process.argv.includes('--check')) check(root)
  else build(root)
} catch (error) {
  fail(error.message)
}
