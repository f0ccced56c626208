// The distribution's own store: a folder for anchors, and the command that makes bundles and hashed links of it.

import type { X509Certificate } from 'node:crypto'
import { join } from 'node:path'
import { hashOfCertificate, parseCertificates } from '../certificates/pem.js'
import { writeRecorded } from './changes.js'
import { obstacleOf, runRecorded, type UpdateCommand } from './generated.js'
import type { Installation, StoreReport } from './installation.js'
import { readPathState, readStoreFile } from './path-state.js'
import type { TargetRoot } from './target-root.js'

/** How one family of distributions keeps its store. */
export interface Distribution extends UpdateCommand {
  /** Where certificates are put for the command to find. */
  readonly anchors: string
  /** One of them tells the family. */
  readonly signs: readonly string[]
  /** The bundle that the command makes. */
  readonly bundle: string
}

/** Told apart from top to bottom: what only one family has comes first. */
const DISTRIBUTIONS: readonly Distribution[] = [
  {
    // RHEL, Fedora, CentOS, Amazon Linux: update-ca-trust(8)
    anchors: '/etc/pki/ca-trust/source/anchors',
    signs: ['/etc/pki/ca-trust/source'],
    command: ['update-ca-trust', 'extract'],
    cleanCommand: ['update-ca-trust', 'extract'],
    inputs: ['/etc/pki/ca-trust/source'],
    outputs: ['/etc/pki/ca-trust/extracted', '/etc/pki/tls/certs', '/etc/pki/java', '/etc/ssl/certs'],
    bundle: '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  },
  {
    // openSUSE, SLES: update-ca-certificates(8) of p11-kit
    anchors: '/etc/pki/trust/anchors',
    signs: ['/etc/pki/trust', '/usr/share/pki/trust'],
    command: ['update-ca-certificates'],
    // Without it, the links to an anchor that is gone stay.
    cleanCommand: ['update-ca-certificates', '--fresh'],
    inputs: ['/etc/pki/trust'],
    outputs: ['/var/lib/ca-certificates', '/etc/ssl/certs', '/etc/ssl/ca-bundle.pem'],
    bundle: '/var/lib/ca-certificates/ca-bundle.pem',
  },
  {
    // Arch Linux: trust(1)
    anchors: '/etc/ca-certificates/trust-source/anchors',
    signs: ['/etc/ca-certificates/trust-source', '/etc/ca-certificates/extracted'],
    command: ['trust', 'extract-compat'],
    cleanCommand: ['trust', 'extract-compat'],
    inputs: ['/etc/ca-certificates/trust-source'],
    outputs: ['/etc/ca-certificates/extracted', '/etc/ssl/certs'],
    bundle: '/etc/ca-certificates/extracted/tls-ca-bundle.pem',
  },
  {
    // Debian, Ubuntu, Alpine, Gentoo: update-ca-certificates(8) of ca-certificates
    anchors: '/usr/local/share/ca-certificates',
    signs: [
      '/usr/sbin/update-ca-certificates',
      '/usr/local/share/ca-certificates',
      '/etc/ca-certificates.conf',
      '/etc/ssl/certs/ca-certificates.crt',
    ],
    command: ['update-ca-certificates'],
    // Without it, the links to an anchor that is gone stay.
    cleanCommand: ['update-ca-certificates', '--fresh'],
    inputs: ['/usr/local/share/ca-certificates', '/etc/ca-certificates.conf'],
    outputs: ['/etc/ssl/certs'],
    bundle: '/etc/ssl/certs/ca-certificates.crt',
  },
]

/** The distribution of a root; undefined when it is none that is known. */
export function findDistribution(root: TargetRoot): Distribution | undefined {
  return DISTRIBUTIONS.find(({ signs }) => signs.some((sign) => root.has(sign)))
}

/** Where the certificates are put for the update command, by their name. */
export function anchorsOf(
  { anchors }: Distribution,
  certificates: ReadonlyMap<string, X509Certificate>,
): ReadonlyMap<string, X509Certificate> {
  // Debian's command takes .crt alone, the others any name.
  return new Map([...certificates].map(([name, certificate]) => [join(anchors, `${name}.crt`), certificate]))
}

/** Whether the distribution's bundle holds all of the certificates, given by their SHA-256. */
export function bundleHolds(root: TargetRoot, { bundle }: Distribution, hashes: readonly string[]): boolean {
  const held = hashesOfBundle(root, bundle)
  return hashes.every((hash) => held.has(hash))
}

/** Whether it holds one of them. */
export function bundleHoldsAny(root: TargetRoot, { bundle }: Distribution, hashes: readonly string[]): boolean {
  const held = hashesOfBundle(root, bundle)
  return hashes.some((hash) => held.has(hash))
}

function hashesOfBundle(root: TargetRoot, bundle: string): ReadonlySet<string> {
  const path = root.at(root.resolve(bundle))
  if (readPathState(path).type !== 'file') return new Set()
  const { certificates } = parseCertificates(readStoreFile(path).toString('latin1'))
  return new Set(certificates.map(hashOfCertificate))
}

/** Puts the anchors in place and runs the update command where it can be run. */
export function installSystem(installation: Installation): StoreReport[] {
  const { root, certificates, journal } = installation
  const distribution = findDistribution(root)
  if (distribution === undefined) return [{ store: 'system', status: 'not found' }]
  const { anchors: path, command } = distribution
  const report = { store: 'system', path } as const
  if (bundleHolds(root, distribution, [...certificates.values()].map(hashOfCertificate))) {
    return [{ ...report, status: 'already there' }]
  }
  const obstacle = obstacleOf(root, command)
  const missing = [...anchorsOf(distribution, certificates)].filter(([path, { raw }]) => !isAnchor(root, path, raw))
  if (journal !== undefined) {
    for (const [path, certificate] of missing) {
      writeRecorded(root, journal, 'system', path, Buffer.from(certificate.toString()))
    }
    const ours = [...anchorsOf(distribution, certificates).keys()].map((path) => root.resolve(path))
    if (obstacle === undefined) runRecorded(root, journal, 'system', distribution, ours)
  }
  const status = obstacle !== undefined && missing.length === 0 ? 'already there' : 'installed'
  if (obstacle === undefined) return [{ ...report, status }]
  const seen = `the anchors are in place, but ${command.join(' ')} was not run: ${obstacle}`
  return [{ ...report, status, seen, hint: `run ${command.join(' ')} in the image` }]
}

function isAnchor(root: TargetRoot, path: string, der: Buffer): boolean {
  const file = root.at(root.resolve(path))
  if (readPathState(file).type !== 'file') return false
  return parseCertificates(readStoreFile(file).toString('latin1')).certificates.some(({ raw }) => raw.equals(der))
}
