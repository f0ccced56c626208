// A RubyGems server: `matrix-gem`, built and indexed by the real `gem`, because parts of the index are in Ruby's own
// Marshal format; and the compact index that bundler asks for.

import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createTempDirectory } from '../../support/temp-dir.js'
import { type Registry, type RegistryOptions, serveFiles } from './registry.js'

const SPECIFICATION = `Gem::Specification.new do |s|
  s.name = 'matrix-gem'
  s.version = '1.0.0'
  s.summary = 'a gem for the matrix'
  s.authors = ['Nobody']
  s.license = 'MIT'
  s.homepage = 'https://example.test'
  s.files = ['lib/matrix-gem.rb']
end
`

/** Makes the server. `require 'matrix-gem'` defines MATRIX_WORD. */
export async function createGemRegistry({ scope, word }: RegistryOptions): Promise<Registry> {
  const folder = createTempDirectory(scope, 'gems')
  const gem = (...args: string[]) =>
    promisify(execFile)('gem', args, { cwd: folder, env: { PATH: process.env.PATH, HOME: folder } })
  mkdirSync(join(folder, 'lib'))
  mkdirSync(join(folder, 'served/gems'), { recursive: true })
  writeFileSync(join(folder, 'lib/matrix-gem.rb'), `MATRIX_WORD = '${word}'\n`)
  writeFileSync(join(folder, 'matrix-gem.gemspec'), SPECIFICATION)
  await gem('build', 'matrix-gem.gemspec', '-o', 'served/gems/matrix-gem-1.0.0.gem')
  await gem('generate_index', '-d', 'served')
  const files = { ...readTree(join(folder, 'served')) }
  return serveFiles(() => ({ ...compactIndex(files['/gems/matrix-gem-1.0.0.gem'] ?? Buffer.alloc(0)), ...files }))
}

function readTree(folder: string): Record<string, Buffer> {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  const paths = entries.map((entry) => join(entry.parentPath ?? entry.path, entry.name))
  return Object.fromEntries(paths.map((path) => [path.slice(folder.length), readFileSync(path)]))
}

/** https://guides.rubygems.org/rubygems-org-compact-index-api/ */
function compactIndex(gem: Buffer): Record<string, string> {
  const info = `---\n1.0.0 |checksum:${createHash('sha256').update(gem).digest('hex')}\n`
  const digest = createHash('md5').update(info).digest('hex')
  return {
    '/names': '---\nmatrix-gem\n',
    '/versions': `created_at: 2020-01-01T00:00:00Z\n---\nmatrix-gem 1.0.0 ${digest}\n`,
    '/info/matrix-gem': info,
  }
}
