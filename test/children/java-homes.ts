// The JDKs of this machine: what JAVA_HOME names, and those where distributions and installers put them.

import { existsSync, readdirSync, realpathSync } from 'node:fs'
import { join } from 'node:path'

/** The folders, each once; a JDK can both list a key store and launch a source file. */
export function findJavaHomes(): string[] {
  const parent = '/usr/lib/jvm'
  const installed = existsSync(parent) ? readdirSync(parent).map((name) => join(parent, name)) : []
  const homes = [process.env.JAVA_HOME ?? '', ...installed].filter((home) =>
    ['bin/java', 'bin/javac', 'bin/keytool'].every((file) => home !== '' && existsSync(join(home, file))),
  )
  return [...new Set(homes.map((home) => realpathSync(home)))].sort()
}
