// The folder in which one relay keeps its files. Children of other users read them, so it can be entered by all and
// written by us alone; it goes when the relay is closed, or when the process ends without closing it.

import { chmodSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemCode, UpstreamProxyError } from '../errors.js'

/** A folder of our own under the temporary directory. */
export class PrivateDirectory {
  readonly path: string
  readonly #onExit = (): void => this.#removeTree()

  /** @throws {UpstreamProxyError} `bundle-unwritable` */
  constructor() {
    this.path = attempt(tmpdir(), () => {
      const path = mkdtempSync(join(tmpdir(), 'ccr-upstream-proxy-'))
      chmodSync(path, 0o755)
      return path
    })
    process.once('exit', this.#onExit)
  }

  /**
   * Writes a file that readers see whole or not at all, with mode 0644 under any umask; returns its path.
   * @throws {UpstreamProxyError} `bundle-unwritable`
   */
  writeFile(name: string, text: string): string {
    const path = join(this.path, name)
    return attempt(path, () => {
      writeFileSync(`${path}.new`, text, { mode: 0o644, flag: 'wx' })
      chmodSync(`${path}.new`, 0o644)
      renameSync(`${path}.new`, path)
      return path
    })
  }

  /** Removes the folder with all that is in it; any number of times. */
  remove(): void {
    process.removeListener('exit', this.#onExit)
    this.#removeTree()
  }

  #removeTree(): void {
    rmSync(this.path, { recursive: true, force: true })
  }
}

function attempt<T>(path: string, action: () => T): T {
  try {
    return action()
  } catch (error) {
    throw new UpstreamProxyError('bundle-unwritable', `${path} cannot be written (${systemCode(error)})`)
  }
}
