// The bundle that clients have: it lies where the children of a relay can reach it, and may be anything by now.

import { readForeignFile } from '../foreign-file.js'
import { MAX_BUNDLE_BYTES } from '../system/certificates/system-bundle.js'
import { Problem } from './check.js'

/**
 * The text of the bundle.
 * @throws {Problem} when there is none any more
 */
export function readBundle(path: string): string {
  const file = readForeignFile(path, { maxBytes: MAX_BUNDLE_BYTES })
  if (file.problem === undefined) return file.bytes.toString('latin1')
  throw new Problem({
    code: 'bundle-unwritable',
    hop: 'machine',
    hint: 'start the session again, and keep what cleans the temporary directory away from files in use',
    message: `${path}, which the relay gives to clients, ${file.why}`,
  })
}
