// `ccr-upstream-gateway serve` as a program, over the folder, the config and the origin of a test's gateway.

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { RunningProcess } from '../support/cli-process.js'
import type { Listening } from '../support/listening.js'
import type { Scope } from '../support/temp-dir.js'
import { type TestGateway, tunnelUrlOf } from './fixture.js'

export const GATEWAY_CLI = fileURLToPath(new URL('../../../gateway/dist/cli/main.js', import.meta.url))

export interface GatewayProgram {
  readonly process: RunningProcess
  readonly url: string
  readonly tunnelUrl: string
  readonly file: string
  /** Writes its config anew, with other keys than before. */
  write(keys: Record<string, unknown>): void
}

/**
 * Starts it with the config of `gateway` but for `keys`; the audit goes to a file beside it. A warning of the process fails
 * the test.
 * @param name of the config, and of the audit
 */
export async function serve(
  scope: Scope,
  gateway: TestGateway<Listening>,
  keys: Record<string, unknown>,
  name = 'serve',
): Promise<GatewayProgram> {
  const file = join(gateway.folder, `${name}.json`)
  const write = (keys: Record<string, unknown>) => {
    gateway.put(`${name}.json`, gateway.configTextWith({ audit: `${name}.jsonl`, ...keys }))
  }
  write(keys)
  const env = { PATH: process.env.PATH, ...gateway.env }
  const program = new RunningProcess(scope, process.execPath, [GATEWAY_CLI, 'serve', '--config', file], { env })
  const [, url = ''] = await program.until(/ listening on (\S+)\n/, 'stderr')
  scope.after(() => assert.doesNotMatch(program.stderr, /^\(node:\d+\)/m))
  return { process: program, url, tunnelUrl: tunnelUrlOf({ url }), file, write }
}
