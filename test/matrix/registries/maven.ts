// A Maven repository with a parent POM and a build extension: the two things that Maven fetches without a plugin.

import { createHash } from 'node:crypto'
import { zip } from './archives.js'
import { type Registry, type RegistryOptions, serveFiles } from './registry.js'

interface Artifact {
  readonly group: string
  readonly id: string
  readonly version: string
  readonly packaging: 'pom' | 'jar'
}

const ARTIFACTS: readonly Artifact[] = [
  { group: 'test.matrix', id: 'parent', version: '1.0.0', packaging: 'pom' },
  { group: 'test.matrix', id: 'extension', version: '1.0.0', packaging: 'jar' },
  // Maven 3 adds this one to every extension that does not have it.
  { group: 'org.codehaus.plexus', id: 'plexus-utils', version: '1.1', packaging: 'jar' },
]

/** Makes the repository. The description of every artifact is the word. */
export function createMavenRegistry({ word }: RegistryOptions): Registry {
  const files = Object.fromEntries(ARTIFACTS.flatMap((artifact) => artifactFiles(artifact, word)))
  return serveFiles(() => files)
}

/** The POM and, of a jar, the jar, each with its checksum. */
function artifactFiles(
  { group, id, version, packaging }: Artifact,
  word: string,
): [path: string, content: string | Buffer][] {
  const stem = `/${group.replaceAll('.', '/')}/${id}/${version}/${id}-${version}`
  const coordinates = `<groupId>${group}</groupId><artifactId>${id}</artifactId><version>${version}</version>`
  const description = `<packaging>${packaging}</packaging><description>${word}</description>`
  const pom = `<project><modelVersion>4.0.0</modelVersion>${coordinates}${description}</project>\n`
  const jar = zip({ 'META-INF/MANIFEST.MF': 'Manifest-Version: 1.0\r\n\r\n' })
  const files: [string, string | Buffer][] = [[`${stem}.pom`, pom]]
  if (packaging === 'jar') files.push([`${stem}.jar`, jar])
  return files.flatMap(([path, content]) => [
    [path, content],
    [`${path}.sha1`, createHash('sha1').update(content).digest('hex')],
  ])
}
