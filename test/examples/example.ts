// An example as a reader has it: its folder in a checkout, and the commands of its README.

import { cpSync, mkdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startOrigin } from '../support/origin.js'
import { INJECTION, type System, type SystemOptions, startSystem } from '../support/system.js'
import { createTempDirectory, type Scope } from '../support/temp-dir.js'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))

/** What the package of a checkout is made of. */
const PACKAGE = ['package.json', 'README.md', 'LICENSE', 'dist', 'prebuilds', 'src/system/children/preload/ruby']

/** The host that the examples ask. */
export const HOST = 'api.example.com'

/** A copy of one example, where `../..` is a copy of the package. */
export function copyExample(scope: Scope, name: string): string {
  const checkout = createTempDirectory(scope, 'checkout')
  for (const path of [...PACKAGE, `examples/${name}`]) {
    mkdirSync(dirname(join(checkout, path)), { recursive: true })
    cpSync(join(ROOT, path), join(checkout, path), { recursive: true })
  }
  return join(checkout, 'examples', name)
}

/** The text of an example's blocks of one language, in order. */
export function readmeBlocks(name: string, language: string): string[] {
  const readme = readFileSync(exampleFile(`${name}/README.md`), 'utf8')
  return [...readme.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, 'gms'))].map(([, text = '']) => text)
}

/** The commands of an example's README, one a line. */
export function readmeCommands(name: string): string[] {
  return readmeBlocks(name, 'sh').flatMap((block) => block.trimEnd().split('\n'))
}

/** The path of a file of the examples. */
export function exampleFile(path: string): string {
  return join(ROOT, 'examples', path)
}

/** A gateway that injects a credential for HOST. */
export async function startExampleSystem(scope: Scope, options: SystemOptions = {}): Promise<System> {
  const origin = await startOrigin(scope, { names: [HOST] })
  return startSystem(scope, {
    origins: { [HOST]: origin.address, ...options.origins },
    hosts: { [HOST]: INJECTION, ...options.hosts },
  })
}
