// An HTTPS registry with one package, in the shape that npm asks for: the package's metadata, and its tarball.

import { createHash } from 'node:crypto'
import { type Origin, startOrigin } from './origin.js'
import type { Scope } from './temp-dir.js'

/** The one package. */
export interface PublishedPackage {
  readonly name: string
  readonly version: string
  readonly tarball: Buffer
}

/** Starts the registry that clients know as https://`host`/. */
export async function startNpmRegistry(
  scope: Scope,
  host: string,
  { name, version, tarball }: PublishedPackage,
): Promise<Origin> {
  const dist = {
    tarball: `https://${host}/${name}/-/${name}-${version}.tgz`,
    integrity: `sha512-${createHash('sha512').update(tarball).digest('base64')}`,
    shasum: createHash('sha1').update(tarball).digest('hex'),
  }
  const metadata = JSON.stringify({
    name,
    'dist-tags': { latest: version },
    versions: { [version]: { name, version, dist } },
  })
  return startOrigin(scope, {
    names: [host],
    handler: ({ url = '' }, response) => {
      if (url === `/${name}`) response.setHeader('Content-Type', 'application/json').end(metadata)
      else if (url === new URL(dist.tarball).pathname) response.end(tarball)
      else response.writeHead(404).end()
    },
  })
}
