// A Maven repository with a parent POM and a build extension: the two things that Maven fetches without a plugin.

import { createHash } from 'node:crypto'
import { zip } from './archives.js'
import { type Registry, type RegistryOptions, serveFiles } from './registry.js'

/** Makes the repository. The description of the parent has the word. */
export function createMavenRegistry({ word }: RegistryOptions): Registry {
  const pom = (artifact: string, packaging: string): string =>
    `<project><modelVersion>4.0.0</modelVersion><groupId>test.matrix</groupId><artifactId>${artifact}</artifactId>` +
    `<version>1.0.0</version><packaging>${packaging}</packaging><description>${word}</description></project>\n`
  const folder = (artifact: string): string => `/test/matrix/${artifact}/1.0.0/${artifact}-1.0.0`
  const files = {
    [`${folder('parent')}.pom`]: pom('parent', 'pom'),
    [`${folder('extension')}.pom`]: pom('extension', 'jar'),
    [`${folder('extension')}.jar`]: zip({ 'META-INF/MANIFEST.MF': 'Manifest-Version: 1.0\r\n\r\n', word }),
  }
  const sums = Object.entries(files).map(([name, content]) => {
    return [`${name}.sha1`, createHash('sha1').update(content).digest('hex')]
  })
  const all = { ...files, ...Object.fromEntries(sums) }
  return serveFiles(() => all)
}
