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
const PACKAGE = 'ccr-upstream-proxy'

// All are built at each run, so that none is left behind from older sources.
const TARGETS = ['x64', 'arm64'].flatMap((arch) => ['glibc', 'musl'].map((libc) => ({ platform: 'linux', arch, libc })))

// The compilers are Debian's, one an architecture; for musl they get musl's headers, and nothing of glibc is linked.
const TOOLCHAINS = {
  x64: { triplet: 'x86_64-linux-gnu', package: 'g++-x86-64-linux-gnu', musl: 'musl-dev:amd64' },
  arm64: { triplet: 'aarch64-linux-gnu', package: 'g++-aarch64-linux-gnu', musl: 'musl-dev:arm64' },
}

// The oldest Node-API host that we support. It only picks the headers that node-gyp would download.
const NODE_VERSION = '20.0.0'

const prebuildPath = ({ platform, arch, libc }) => `prebuilds/${platform}-${arch}/${PACKAGE}.${libc}.node`

const listFiles = (root, folder, extensions) =>
  readdirSync(join(root, folder), { recursive: true })
    .map((name) => `${folder}/${name}`)
    .filter((path) => extensions.some((extension) => path.endsWith(extension)))

function createManifest(root) {
  const sources = ['binding.gyp', ...listFiles(root, 'native', ['.cc', '.h', '.map'])]
  const paths = [...sources, ...listFiles(root, 'prebuilds', ['.node'])].sort()
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

/** What a command of the toolchain prints, or what to install. */
function ask(command, args, debianPackage) {
  const { error, status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', input: '' })
  if (error) throw new Error(`${command} does not start (${error.code}); on Debian: apt install ${debianPackage}`)
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`)
  return stdout + stderr
}

/** The flags that put musl's headers in glibc's place, behind those of the C++ library. */
function muslFlags(root, compiler, toolchain) {
  const headers = `/usr/include/${toolchain.triplet.replace('gnu', 'musl')}`
  if (!existsSync(headers)) throw new Error(`${headers} is missing; on Debian: ${muslInstallation(toolchain)}`)
  const searched = ask(compiler, ['-E', '-v', '-x', 'c++', '-'], toolchain.package).split('\n')
  const cxxHeaders = searched
    .filter((line) => line.startsWith(' /') && line.includes('/c++/'))
    .map((line) => line.trim())
  const ownHeaders = ask(compiler, ['-print-file-name=include'], toolchain.package).trim()
  const folders = [...cxxHeaders, headers, ownHeaders].flatMap((folder) => ['-isystem', folder])
  return ['-nostdinc', ...folders, '-include', join(root, 'native/musl/libstdcxx.h')].join(' ')
}

function muslInstallation({ musl }) {
  const [, debianArch] = musl.split(':')
  return `dpkg --add-architecture ${debianArch} && apt update && apt install ${musl}`
}

function toolEnvironment(root, { arch, libc }) {
  const toolchain = TOOLCHAINS[arch]
  const [CC, CXX] = [`${toolchain.triplet}-gcc`, `${toolchain.triplet}-g++`]
  ask(CXX, ['--version'], toolchain.package)
  return { CC, CXX, CXXFLAGS: libc === 'musl' ? muslFlags(root, CXX, toolchain) : '', PREBUILD_LIBC: libc }
}

function buildTarget(root, target, out) {
  const tools = toolEnvironment(root, target)
  console.log(`building ${prebuildPath(target)}`)
  const prebuildify = createRequire(import.meta.url).resolve('prebuildify/bin.js')
  const which = ['--napi', '-t', NODE_VERSION, '--platform', target.platform, '--arch', target.arch]
  const strip = ['--strip', '--strip-bin', `${TOOLCHAINS[target.arch].triplet}-strip`]
  const how = [...strip, '--tag-libc', '--out', out]
  // What npm was told wins over what is found.
  const env = { ...localHeaders(), ...process.env, ...tools }
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
