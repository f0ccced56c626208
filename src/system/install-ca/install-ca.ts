// Makes a whole machine, or the tree of an image, trust the gateway's CA, and takes all of that back.

import type { X509Certificate } from 'node:crypto'
import { asUpstreamProxyError, UpstreamProxyError } from '../../errors.js'
import { hashOfCertificate } from '../certificates/pem.js'
import { installChromium, installFirefox } from './browser-policy.js'
import { type Undone, undoDirectory, undoFile } from './changes.js'
import { regenerate, undoGenerated } from './generated.js'
import type { Installation, Keystores, StoreReport } from './installation.js'
import { installJava } from './java-store.js'
import { type GeneratedRecord, Journal, type JournalRecord, STORES, type StoreName } from './journal.js'
import { bundleHoldsAny, type Distribution, findDistribution, installSystem } from './system-store.js'
import type { TargetRoot } from './target-root.js'

/** What is to be installed where. */
export interface InstallOptions {
  readonly root: TargetRoot
  readonly certificates: readonly X509Certificate[]
  readonly keystores: Keystores
  readonly stores: readonly StoreName[]
  /** Says what would be done, and does nothing. */
  readonly isDryRun: boolean
}

const INSTALLERS: Readonly<Record<StoreName, (installation: Installation) => StoreReport[]>> = {
  system: installSystem,
  java: installJava,
  chromium: installChromium,
  firefox: installFirefox,
}

/**
 * Installs the certificates, each store on its own: one that fails stops no other.
 * @throws {UpstreamProxyError} `not-root`, `journal-invalid`, or what undoing an earlier installation says
 */
export function installCa({ root, certificates, keystores, stores, isDryRun }: InstallOptions): StoreReport[] {
  const hashes = [...new Set(certificates.map(hashOfCertificate))].sort()
  const journal = isDryRun ? undefined : openJournal(root, hashes)
  const named = new Map(certificates.map((certificate) => [nameOf(certificate), certificate]))
  const installation: Installation = { root, certificates: named, journal, keystores }
  // The distribution's store first: its hooks may serve Java as well.
  return STORES.filter((store) => stores.includes(store)).flatMap((store) => installStore(store, installation))
}

/** Stays the same for one certificate, and is different for another: a rotated CA gets a file and an alias of its own. */
function nameOf(certificate: X509Certificate): string {
  return `ccr-upstream-proxy-${hashOfCertificate(certificate).slice(0, 16)}`
}

function installStore(store: StoreName, installation: Installation): StoreReport[] {
  try {
    return INSTALLERS[store](installation)
  } catch (error) {
    const { code, message, hint } = asUpstreamProxyError(
      error,
      'store-unwritable',
      `the ${store} store cannot be changed`,
    )
    return [{ store, status: 'failed', code, seen: message, hint }]
  }
}

/** The journal to go on with. What another CA or an interruption has left is undone first. */
function openJournal(root: TargetRoot, hashes: readonly string[]): Journal {
  assertRoot(root)
  const found = Journal.open(root)
  if (found?.isFinished && `${found.certificates}` === `${hashes}`) return found
  const failed = found === undefined ? undefined : undo(root, found).find(({ status }) => status === 'failed')
  if (failed?.code !== undefined) throw new UpstreamProxyError(failed.code, `the last installation: ${failed.seen}`)
  return Journal.create(root, hashes)
}

function assertRoot(root: TargetRoot): void {
  if (root.isOwn && process.geteuid?.() !== 0) {
    throw new UpstreamProxyError('not-root', 'only root can change what the machine trusts')
  }
}

/**
 * Takes back what the journal of the root holds.
 * @returns one report a store that was changed; none when nothing is installed
 * @throws {UpstreamProxyError} `not-root`, `journal-invalid`
 */
export function uninstallCa(root: TargetRoot, isDryRun: boolean): StoreReport[] {
  const journal = Journal.open(root)
  if (journal === undefined) return []
  if (isDryRun) return storesOf(journal).map((store) => ({ store, status: 'removed' }))
  assertRoot(root)
  return undo(root, journal)
}

function storesOf({ records }: Journal): readonly StoreName[] {
  return STORES.filter((store) => records.some((record) => record.store === store))
}

/** Undoes the last change first; what cannot be undone stays in the journal. */
function undo(root: TargetRoot, journal: Journal): StoreReport[] {
  const undoing = new Undoing(root, journal)
  const stores = storesOf(journal)
  for (const record of [...journal.records].reverse()) undoing.undo(record)
  undoing.regeneratePostponed()
  if (journal.records.length === 0) journal.remove()
  else journal.save()
  return stores.map((store) => undoing.reportOf(store))
}

class Undoing {
  readonly #root: TargetRoot
  readonly #journal: Journal
  readonly #failures = new Map<StoreName, UpstreamProxyError>()
  readonly #theirs = new Set<StoreName>()
  /** To be generated anew when the anchors are gone. */
  readonly #postponed: GeneratedRecord[] = []
  readonly #hadAnchors: boolean

  constructor(root: TargetRoot, journal: Journal) {
    this.#root = root
    this.#journal = journal
    this.#hadAnchors = journal.records.some(({ store, kind }) => store === 'system' && kind !== 'directory')
  }

  undo(record: JournalRecord): void {
    this.#attempt(record.store, () => {
      if (record.kind === 'generated') {
        if (undoGenerated(this.#root, this.#journal, record, this.#inputs(), this.#anchors())) this.#drop(record)
        else this.#postponed.push(record)
        return
      }
      const undone =
        record.kind === 'file' ? undoFile(this.#root, this.#journal, record) : undoDirectory(this.#root, record)
      this.#drop(record, undone)
    })
  }

  /** Also where somebody else ran the command for anchors of ours. */
  regeneratePostponed(): void {
    const distribution = findDistribution(this.#root)
    if (distribution !== undefined && this.#postponed.length === 0 && this.#holdsOurs(distribution)) {
      const { command, outputs: paths } = distribution
      const record: GeneratedRecord = {
        kind: 'generated',
        store: 'system',
        command,
        paths,
        inputs: '',
        before: {},
        after: {},
      }
      this.#journal.add(record)
      this.#postponed.push(record)
    }
    for (const record of this.#postponed) {
      this.#attempt('system', () => {
        if (distribution === undefined) throw new UpstreamProxyError('store-changed', 'the store is not there any more')
        this.#regenerate(record, distribution)
        if (this.#holdsOurs(distribution)) {
          throw new UpstreamProxyError('store-changed', `${distribution.bundle} still holds the CA`)
        }
        this.#drop(record, 'theirs-kept')
      })
    }
  }

  /** Whether the CA is in the bundle because of us. */
  #holdsOurs(distribution: Distribution): boolean {
    if (!this.#hadAnchors || this.#failures.has('system')) return false
    return bundleHoldsAny(this.#root, distribution, this.#journal.certificates)
  }

  #regenerate(record: GeneratedRecord, { cleanCommand }: Distribution): void {
    regenerate(this.#root, this.#journal, record, cleanCommand, this.#journal.certificates)
  }

  reportOf(store: StoreName): StoreReport {
    const failure = this.#failures.get(store)
    if (failure !== undefined) {
      const { code, message, hint } = failure
      return { store, status: 'failed', code, seen: message, hint }
    }
    if (this.#theirs.has(store)) return { store, status: 'removed', seen: 'what others have changed since was kept' }
    return { store, status: 'removed' }
  }

  #inputs(): { inputs: readonly string[] } {
    return { inputs: findDistribution(this.#root)?.inputs ?? [] }
  }

  #anchors(): readonly string[] {
    return this.#journal.records.flatMap((record) =>
      record.kind === 'file' && record.store === 'system' ? [record.path] : [],
    )
  }

  #drop(record: JournalRecord, undone: Undone = 'restored'): void {
    this.#journal.drop(record)
    if (undone === 'theirs-kept') this.#theirs.add(record.store)
  }

  #attempt(store: StoreName, action: () => void): void {
    try {
      action()
    } catch (error) {
      const failure = asUpstreamProxyError(error, 'store-unwritable', `the ${store} store cannot be restored`)
      if (!this.#failures.has(store)) this.#failures.set(store, failure)
    }
  }
}
