// An HTTPS registry with one package, in the shape that npm asks for: the package's metadata, and its tarball.

import { createHash } from 'node:crypto'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Scope } from './temp-dir.js'
import type { TestCertificate } from './test-ca.js'

/** The one package. */
export interface PublishedPackage {
  readonly name: string
  readonly version: string
  readonly tarball: Buffer
}

/** A running registry. */
export interface NpmRegistry {
  /** `127.0.0.1:port` */
  readonly address: string
  /** Paths that were asked for, in order. */
  readonly requests: readonly string[]
}

/** Starts the registry that clients know as https://`host`/. */
export async function startNpmRegistry(
  scope: Scope,
  host: string,
  certificate: TestCertificate,
  { name, version, tarball }: PublishedPackage,
): Promise<NpmRegistry> {
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
  const requests: string[] = []
  const server = createServer(certificate, ({ url = '' }, response) => {
    requests.push(url)
    if (url === `/${name}`) response.setHeader('Content-Type', 'application/json').end(metadata)
    else if (url === new URL(dist.tarball).pathname) response.end(tarball)
    else response.writeHead(404).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  scope.after(
    () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  )
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, requests }
}
