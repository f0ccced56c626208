// An npm registry: `matrix-parent`, which depends on thirty packages, each with its metadata and its tarball.

import { createHash } from 'node:crypto'
import { tarGz } from './archives.js'
import { type Registry, type RegistryOptions, serveFiles } from './registry.js'

/** Packages that `matrix-parent` depends on: matrix-dependency-1 to this number. */
export const NPM_DEPENDENCIES = 30

/** Makes the registry. Every package has the word in the file `word`. */
export function createNpmRegistry({ word }: RegistryOptions): Registry {
  const dependencies = Array.from({ length: NPM_DEPENDENCIES }, (_, index) => `matrix-dependency-${index + 1}`)
  const manifests = [
    {
      name: 'matrix-parent',
      version: '1.0.0',
      dependencies: Object.fromEntries(dependencies.map((name) => [name, '^1.0.0'])),
    },
    ...dependencies.map((name) => ({ name, version: '1.0.0' })),
  ]
  const packages = manifests.map((manifest) => ({
    manifest,
    tarball: tarGz({ 'package/package.json': JSON.stringify(manifest), 'package/word': `${word}\n` }),
  }))
  return serveFiles((base) =>
    Object.fromEntries(
      packages.flatMap(({ manifest, tarball }) => {
        const file = `/${manifest.name}/-/${manifest.name}-${manifest.version}.tgz`
        const dist = {
          tarball: `${base}${file}`,
          integrity: `sha512-${createHash('sha512').update(tarball).digest('base64')}`,
          shasum: createHash('sha1').update(tarball).digest('hex'),
        }
        const packument = {
          name: manifest.name,
          'dist-tags': { latest: manifest.version },
          versions: { [manifest.version]: { ...manifest, dist } },
          time: { [manifest.version]: '2020-01-01T00:00:00.000Z' },
        }
        return [
          [`/${manifest.name}`, JSON.stringify(packument)],
          [file, tarball],
        ]
      }),
    ),
  )
}
