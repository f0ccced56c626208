// Where the commands of a document run: a shell in a folder with the packages, on a stage of the demo of its own.

import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Stage } from '../demo/stage.js'
import { runtimes } from '../support/runtimes.js'
import { createTempDirectory, type Scope } from '../support/temp-dir.js'
import { ShellSession } from './shell-session.js'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))

/** The binary, where it is installed. */
export const BUN = runtimes.find(({ kind }) => kind === 'bun')?.path

export interface Place {
  readonly shell: ShellSession
  /** Where the shell began. */
  readonly folder: string
  readonly stage: Stage
}

/** A shell in a folder that looks like a clone; for CONTRIBUTING.md, whose commands write nothing, the repository itself. */
export async function createPlace(t: Scope, path: string): Promise<Place> {
  const stage = new Stage()
  t.after(() => stage.close())
  await stage.open()
  const home = createTempDirectory(t, 'documents')
  const folder = path === 'CONTRIBUTING.md' ? ROOT : createProject(home)
  const env = {
    ...stage.environment,
    PATH: [createPrograms(home), createAgent(home, stage), join(ROOT, 'node_modules/.bin'), process.env.PATH].join(
      delimiter,
    ),
    HOME: home,
    CCR_SESSION_TOKEN_PATH: join(stage.folder, 'session_token'),
    CCR_UPSTREAM_PROXY_GATEWAY_CA: join(stage.folder, 'gateway-root.pem'),
  }
  return { shell: new ShellSession(t, { cwd: folder, env }), folder, stage }
}

/** A program's folder with the packages in it; its test asks the origin. The repository's own files are there too. */
function createProject(home: string): string {
  const folder = join(home, 'project')
  mkdirSync(folder)
  for (const name of ['node_modules', 'deploy', 'doc', 'test']) symlinkSync(join(ROOT, name), join(folder, name))
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ type: 'module', scripts: { test: 'agent' } }))
  return folder
}

/** The commands as npm links them. How they come there is what install.long.test.ts looks at. */
export function createPrograms(home: string): string {
  const folder = join(home, 'bin')
  mkdirSync(folder)
  const main = new URL('../../../dist/cli/main.js', import.meta.url)
  writeFileSync(join(folder, 'proxy.mjs'), `#!/usr/bin/env node\nawait import('${main}')\n`, { mode: 0o755 })
  symlinkSync('proxy.mjs', join(folder, 'ccr-upstream-proxy'))
  symlinkSync(join(ROOT, 'gateway/bin/ccr-upstream-gateway.js'), join(folder, 'ccr-upstream-gateway'))
  if (BUN !== undefined) symlinkSync(BUN, join(folder, 'bun'))
  return folder
}

/** An agent that asks the origin. */
function createAgent(home: string, stage: Stage): string {
  const folder = join(home, 'agent')
  mkdirSync(folder)
  const [node, client] = stage.nodeClient
  const text = `#!/bin/sh\nexec '${node}' '${client}' https://api.demo.test/v1/me\n`
  writeFileSync(join(folder, 'agent'), text, { mode: 0o755 })
  return folder
}
