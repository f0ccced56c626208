// What the stores are given, and what they say.

import type { X509Certificate } from 'node:crypto'
import type { ErrorCode } from '../../errors.js'
import type { Journal, StoreName } from './journal.js'
import type { TargetRoot } from './target-root.js'

/** One installation, as each store sees it. */
export interface Installation {
  readonly root: TargetRoot
  /** The certificates by the name that they get wherever one is needed. */
  readonly certificates: ReadonlyMap<string, X509Certificate>
  /** undefined: nothing is changed, and the report says what would be done. */
  readonly journal: Journal | undefined
  /** Keystores besides, or instead of, those that are found. */
  readonly keystores: Keystores
}

/** The Java keystores that are meant: paths of the root, and whether those of the installed JDKs are, too. */
export interface Keystores {
  readonly auto: boolean
  readonly paths: readonly string[]
}

/** What became of one store. */
export interface StoreReport {
  readonly store: StoreName
  /** Which one, as a path of the root. */
  readonly path?: string
  readonly status: 'installed' | 'already there' | 'not found' | 'removed' | 'failed'
  readonly code?: ErrorCode
  readonly seen?: string
  readonly hint?: string
}
