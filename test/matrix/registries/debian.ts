// A Debian repository in the flat form: `matrix-package`. https://wiki.debian.org/DebianRepository/Format

import { createHash } from 'node:crypto'
import { ar, tarGz } from './archives.js'
import { type Registry, type RegistryOptions, serveFiles } from './registry.js'

/** Makes the repository. The package has the word in /usr/share/matrix-package/word. */
export function createDebianRegistry({ word }: RegistryOptions): Registry {
  const control = [
    'Package: matrix-package',
    'Version: 1.0.0',
    'Architecture: all',
    'Maintainer: Nobody <nobody@example.test>',
    'Description: a package for the matrix',
  ].join('\n')
  const deb = ar({
    'debian-binary': '2.0\n',
    'control.tar.gz': tarGz({ './control': `${control}\n` }),
    'data.tar.gz': tarGz({ './usr/share/matrix-package/word': `${word}\n` }),
  })
  const sha256 = (content: string | Buffer): string => createHash('sha256').update(content).digest('hex')
  const packages = `${control}\nFilename: ./matrix-package.deb\nSize: ${deb.length}\nSHA256: ${sha256(deb)}\n\n`
  const release = `Date: Wed, 01 Jan 2020 00:00:00 UTC\nSHA256:\n ${sha256(packages)} ${packages.length} Packages\n`
  return serveFiles(() => ({
    '/./Release': release,
    '/Release': release,
    '/Packages': packages,
    '/matrix-package.deb': deb,
  }))
}
