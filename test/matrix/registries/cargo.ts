// A crates registry with a sparse index: `matrix-crate`.
// https://doc.rust-lang.org/cargo/reference/registry-index.html

import { createHash } from 'node:crypto'
import { tarGz } from './archives.js'
import { type Registry, type RegistryOptions, serveFiles } from './registry.js'

/** Makes the registry. The crate has the word in src/lib.rs. */
export function createCargoRegistry({ word }: RegistryOptions): Registry {
  const crate = tarGz({
    'matrix-crate-1.0.0/Cargo.toml': '[package]\nname = "matrix-crate"\nversion = "1.0.0"\nedition = "2018"\n',
    'matrix-crate-1.0.0/src/lib.rs': `// ${word}\n`,
  })
  const entry = {
    name: 'matrix-crate',
    vers: '1.0.0',
    deps: [],
    cksum: createHash('sha256').update(crate).digest('hex'),
    features: {},
    yanked: false,
  }
  return serveFiles((base) => ({
    '/index/config.json': JSON.stringify({ dl: `${base}/crates` }),
    '/index/ma/tr/matrix-crate': `${JSON.stringify(entry)}\n`,
    '/crates/matrix-crate/1.0.0/download': crate,
  }))
}
