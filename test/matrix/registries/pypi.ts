// A Python index in the simple form (PEP 503): `matrix-package` as a wheel (PEP 427).

import { createHash } from 'node:crypto'
import { zip } from './archives.js'
import { type Registry, type RegistryOptions, serveFiles } from './registry.js'

const WHEEL = 'matrix_package-1.0.0-py3-none-any.whl'
const INFO = 'matrix_package-1.0.0.dist-info'

/** Makes the index. `import matrix_package` has the word as `WORD`. */
export function createPypiRegistry({ word }: RegistryOptions): Registry {
  const files = {
    'matrix_package.py': `WORD = '${word}'\n`,
    [`${INFO}/METADATA`]: 'Metadata-Version: 2.1\nName: matrix-package\nVersion: 1.0.0\n',
    [`${INFO}/WHEEL`]: 'Wheel-Version: 1.0\nGenerator: matrix\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
  }
  const record = [...Object.keys(files), `${INFO}/RECORD`].map((name) => `${name},,\n`).join('')
  const wheel = zip({ ...files, [`${INFO}/RECORD`]: record })
  const digest = createHash('sha256').update(wheel).digest('hex')
  const page = (base: string): string =>
    `<!DOCTYPE html><html><body><a href="${base}/files/${WHEEL}#sha256=${digest}">${WHEEL}</a></body></html>`
  const registry = serveFiles((base) => ({ '/simple/matrix-package/': page(base), [`/files/${WHEEL}`]: wheel }))
  return (request) => {
    if (request.path.endsWith('/')) request.response.setHeader('Content-Type', 'text/html')
    return registry(request)
  }
}
