// A Composer repository: `matrix/package`, as a tar so that no unzip program is needed.

import { createHash } from 'node:crypto'
import { tar } from './archives.js'
import { type Registry, type RegistryOptions, serveFiles } from './registry.js'

/** Makes the repository. The package has the word in the file `word`. */
export function createComposerRegistry({ word }: RegistryOptions): Registry {
  const manifest = { name: 'matrix/package', version: '1.0.0' }
  const archive = tar({ 'package/composer.json': JSON.stringify(manifest), 'package/word': `${word}\n` })
  const shasum = createHash('sha1').update(archive).digest('hex')
  return serveFiles((base) => ({
    '/packages.json': JSON.stringify({ packages: [], 'metadata-url': `${base}/p2/%package%.json` }),
    '/p2/matrix/package.json': JSON.stringify({
      packages: { 'matrix/package': [{ ...manifest, dist: { type: 'tar', url: `${base}/package.tar`, shasum } }] },
    }),
    '/package.tar': archive,
  }))
}
