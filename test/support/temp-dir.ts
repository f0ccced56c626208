// A folder for one test, gone when the test has ended.

import { chmodSync, mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** What has an end at which things are tidied up: a test's context, or what a `before` hook collects. */
export interface Scope {
  after(action: () => void | Promise<void>): void
}

/** Makes an empty folder under the system's temporary directory. */
export function createTempDirectory(scope: Scope, name = 'test'): string {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), `ccr-${name}-`)))
  scope.after(() => {
    chmodSync(directory, 0o700)
    rmSync(directory, { recursive: true, force: true })
  })
  return directory
}

/** A scope for `before` and `after` hooks: what was put in last is tidied up first. */
export class SharedScope implements Scope {
  readonly #actions: (() => void | Promise<void>)[] = []

  after(action: () => void | Promise<void>): void {
    this.#actions.push(action)
  }

  async end(): Promise<void> {
    for (const action of this.#actions.splice(0).reverse()) await action()
  }
}
