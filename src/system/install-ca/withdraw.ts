// Takes our part out of a file that somebody else has changed as well.

import { UpstreamProxyError } from '../../errors.js'
import type { Withdrawal } from './journal.js'
import { Keystore } from './keystore.js'
import { readStoreFile } from './path-state.js'
import { formatPolicy, parsePolicy, removeFromList } from './policy-json.js'
import type { TargetRoot } from './target-root.js'

/**
 * The bytes of the file without our part; undefined when there is no such part, 'nothing-left' when it was all there was.
 * @throws {UpstreamProxyError} `store-changed`, `keytool-missing`, `keytool-failed`
 */
export function withdraw(root: TargetRoot, path: string, withdrawal: Withdrawal): Buffer | 'nothing-left' | undefined {
  if (withdrawal.kind === 'keystore') return new Keystore(root, path).withoutAliases(withdrawal.aliases)
  const policy = parsePolicy(readStoreFile(root.at(path)).toString('utf8'))
  if (policy === undefined) {
    throw new UpstreamProxyError('store-changed', `${root.at(path)} was changed since, and is no JSON object`)
  }
  const rest = removeFromList(policy, withdrawal.keys, withdrawal.values)
  if (rest === undefined) return undefined
  return Object.keys(rest).length === 0 ? 'nothing-left' : Buffer.from(formatPolicy(rest))
}
