// Node versions to test on besides the one that runs the tests: binaries from npm, fetched when the long suites run.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { run } from '../support/cli-process.js'
import { IS_RELAY_LARGE } from '../support/runtimes.js'
import { createTempDirectory, type Scope } from '../support/temp-dir.js'

/** A Node that was asked for. */
export interface NodeVersion {
  readonly version: string
  /** Its binary; undefined when it could not be had. */
  readonly path: string | undefined
  /** Why not. */
  readonly skip: string | false
}

/** The binaries of `versions`, in a folder that goes with `scope`; none unless the long suites run. */
export async function fetchNodeVersions(scope: Scope, versions: readonly string[]): Promise<NodeVersion[]> {
  if (!IS_RELAY_LARGE) return []
  if (process.platform !== 'linux') return versions.map((version) => missing(version, 'only fetched on Linux'))
  const folder = createTempDirectory(scope, 'nodes')
  const found: NodeVersion[] = []
  for (const version of versions) found.push(await fetchNode(scope, join(folder, version), version))
  return found
}

async function fetchNode(scope: Scope, prefix: string, version: string): Promise<NodeVersion> {
  const name = `node-linux-${process.arch}`
  const args = ['install', '--prefix', prefix, '--ignore-scripts', '--no-audit', '--no-fund', `${name}@${version}`]
  const { exitCode } = await run(scope, 'npm', args, { env: process.env })
  const path = join(prefix, 'node_modules', name, 'bin/node')
  return exitCode === 0 && existsSync(path)
    ? { version, path, skip: false }
    : missing(version, `npm could not fetch ${name}@${version}`)
}

function missing(version: string, skip: string): NodeVersion {
  return { version, path: undefined, skip }
}
