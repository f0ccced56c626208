// Browsers that read no system store: managed policies, JSON files of the administrator's.

import { readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { asUpstreamProxyError, UpstreamProxyError } from '../../errors.js'
import { writeRecorded } from './changes.js'
import type { Installation, StoreReport } from './installation.js'
import { readPathState, readStoreFile } from './path-state.js'
import { addToList, formatPolicy, listOf, type Policy, parsePolicy } from './policy-json.js'
import type { TargetRoot } from './target-root.js'

interface Browser {
  /** One of them tells that it is there. */
  readonly signs: readonly string[]
}

interface ChromiumBrowser extends Browser {
  /** Every JSON file in it is read (chromeenterprise.google/policies, "Linux"). */
  readonly managed: string
}

/** Playwright's own downloads. */
const PLAYWRIGHT = ['/ms-playwright', '/root/.cache/ms-playwright'] as const

const CHROMIUM_BROWSERS: readonly ChromiumBrowser[] = [
  {
    managed: '/etc/chromium/policies/managed',
    signs: ['/etc/chromium', '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/lib/chromium', ...PLAYWRIGHT],
  },
  {
    managed: '/etc/opt/chrome/policies/managed',
    signs: ['/etc/opt/chrome', '/opt/google/chrome', '/usr/bin/google-chrome'],
  },
  {
    managed: '/etc/opt/chrome_for_testing/policies/managed',
    signs: ['/etc/opt/chrome_for_testing', ...PLAYWRIGHT],
  },
]

const CHROMIUM_KEYS = ['CACertificates'] as const
const FIREFOX_KEYS = ['policies', 'Certificates', 'Install'] as const

/** Read by every Firefox; where it is, no other is (EnterprisePoliciesParent: SysConfD, then XREAppDist). */
const FIREFOX_SHARED_FILE = '/etc/firefox/policies/policies.json'

interface FirefoxBrowser extends Browser {
  /** Where it may be installed. */
  readonly folders: readonly string[]
}

const FIREFOX_BROWSERS: readonly FirefoxBrowser[] = ['firefox', 'firefox-esr'].map((name) => {
  const folders = [`/usr/lib/${name}`, `/usr/lib64/${name}`, `/opt/${name}`]
  return { folders, signs: [`/etc/${name}`, `/usr/bin/${name}`, ...folders] }
})

/** Lists the certificates in a policy file of each Chromium. */
export function installChromium(installation: Installation): StoreReport[] {
  const { root, certificates } = installation
  const values = [...certificates.values()].map(({ raw }) => raw.toString('base64'))
  const found = CHROMIUM_BROWSERS.filter(({ signs }) => signs.some((sign) => root.has(sign)))
  if (found.length === 0) return [{ store: 'chromium', status: 'not found' }]
  return found.map(({ managed }) => {
    const own = join(managed, 'ccr-upstream-proxy.json')
    return attempt('chromium', own, () => {
      const path = fileThatDecides(root, managed) ?? own
      return addToPolicy(installation, 'chromium', path, CHROMIUM_KEYS, values)
    })
  })
}

/** Of several files with one key, the last by name decides. */
function fileThatDecides(root: TargetRoot, managed: string): string | undefined {
  if (!root.isDirectory(managed)) return undefined
  const paths = readdirSync(root.at(root.resolve(managed)))
    .sort()
    .reverse()
    .map((name) => join(managed, name))
  return paths.find((path) => {
    const file = root.at(root.resolve(path))
    const policy = readPathState(file).type === 'file' ? parsePolicy(readStoreFile(file).toString('utf8')) : undefined
    return policy !== undefined && Object.hasOwn(policy, CHROMIUM_KEYS[0])
  })
}

/** Lists files with the certificates in the policy file of each Firefox. */
export function installFirefox(installation: Installation): StoreReport[] {
  const paths = findFirefoxFiles(installation.root)
  if (paths.length === 0) return [{ store: 'firefox', status: 'not found' }]
  return paths.map((path) => attempt('firefox', path, () => installFirefoxFile(installation, path)))
}

/** The shared file, unless it would hide one that a Firefox has in its own folder. */
function findFirefoxFiles(root: TargetRoot): readonly string[] {
  const found = FIREFOX_BROWSERS.filter(({ signs }) => signs.some((sign) => root.has(sign)))
  if (found.length === 0) return []
  const own = found.flatMap(({ folders }) =>
    folders.filter((folder) => root.isDirectory(folder)).map((folder) => join(folder, 'distribution/policies.json')),
  )
  return root.has(FIREFOX_SHARED_FILE) || !own.some((path) => root.has(path)) ? [FIREFOX_SHARED_FILE] : own
}

function installFirefoxFile(installation: Installation, path: string): StoreReport {
  const { root, certificates, journal } = installation
  const files = new Map(
    [...certificates].map(([name, certificate]) => [join(dirname(path), `${name}.crt`), certificate.toString()]),
  )
  const stale = [...files].filter(([file, pem]) => !hasText(root, file, pem))
  // The policy is checked before a file is written that only it would name.
  readPolicy(root, path, FIREFOX_KEYS)
  if (journal !== undefined) {
    for (const [file, pem] of stale) writeRecorded(root, journal, 'firefox', file, Buffer.from(pem))
  }
  const report = addToPolicy(installation, 'firefox', path, FIREFOX_KEYS, [...files.keys()])
  return stale.length === 0 ? report : { ...report, status: 'installed' }
}

function addToPolicy(
  { root, journal }: Installation,
  store: 'chromium' | 'firefox',
  path: string,
  keys: readonly string[],
  values: readonly string[],
): StoreReport {
  const policy = readPolicy(root, path, keys)
  const list = listOf(policy, keys) ?? []
  if (values.every((value) => list.includes(value))) return { store, path, status: 'already there' }
  if (journal !== undefined) {
    const added = values.filter((value) => !list.includes(value))
    const bytes = Buffer.from(formatPolicy(addToList(policy, keys, added)))
    writeRecorded(root, journal, store, path, bytes, { kind: 'json-list', keys, values: added })
  }
  return { store, path, status: 'installed' }
}

/** The object of a policy file, `{}` where there is none. */
function readPolicy(root: TargetRoot, path: string, keys: readonly string[]): Policy {
  const file = root.at(root.resolve(path))
  if (readPathState(file).type === 'absent') return {}
  const policy = parsePolicy(readStoreFile(file).toString('utf8'))
  if (policy !== undefined && listOf(policy, keys) !== undefined) return policy
  throw new UpstreamProxyError('policy-invalid', `${file} is no JSON object that takes a list at ${keys.join('.')}`)
}

function hasText(root: TargetRoot, path: string, text: string): boolean {
  const file = root.at(root.resolve(path))
  return readPathState(file).type === 'file' && readStoreFile(file).toString('utf8') === text
}

function attempt(store: 'chromium' | 'firefox', path: string, install: () => StoreReport): StoreReport {
  try {
    return install()
  } catch (error) {
    const { code, message, hint } = asUpstreamProxyError(error, 'store-unwritable', `${path} cannot be changed`)
    return { store, path, status: 'failed', code, seen: message, hint }
  }
}
