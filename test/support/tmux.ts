// A real terminal for programs that want one: tmux without a user. What is on its screen can only be asked for.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isInstalled } from './cli-process.js'
import type { Scope } from './temp-dir.js'

export class Tmux {
  readonly #socket: string
  readonly #env: Readonly<Record<string, string>>

  /** A terminal of 80 by 24 with a shell in it, or undefined when tmux is not installed. */
  static async open(scope: Scope, env: Readonly<Record<string, string>>): Promise<Tmux | undefined> {
    if (!(await isInstalled(scope, 'tmux', '-V'))) return undefined
    const directory = mkdtempSync(join(tmpdir(), 'ccr-tmux-'))
    const terminal = new Tmux(join(directory, 'socket'), env)
    scope.after(() => {
      terminal.#run('kill-server')
      rmSync(directory, { recursive: true })
    })
    terminal.#run('new-session', '-d', '-x', '80', '-y', '24', 'PS1="$ " sh')
    await terminal.until(/^\$/)
    return terminal
  }

  private constructor(socket: string, env: Readonly<Record<string, string>>) {
    this.#socket = socket
    this.#env = env
  }

  type(text: string): void {
    this.#run('send-keys', '-l', text)
  }

  /** `Enter`, `C-c` and so on: tmux(1). */
  press(key: string): void {
    this.#run('send-keys', key)
  }

  resize(columns: number, rows: number): void {
    this.#run('resize-window', '-x', `${columns}`, '-y', `${rows}`)
  }

  screen(): string {
    return this.#run('capture-pane', '-p')
  }

  /** Whether anything on the screen is bold or coloured. */
  hasStyles(): boolean {
    return this.#run('capture-pane', '-p', '-e').includes('\x1b[')
  }

  /** Sends a signal to the program in the foreground. */
  signal(signal: NodeJS.Signals): void {
    const shell = this.#run('display-message', '-p', '#{pane_pid}').trim()
    const children = readFileSync(`/proc/${shell}/task/${shell}/children`, 'utf8').trim().split(' ')
    for (const child of children) process.kill(Number(child), signal)
  }

  /** Whether a program has taken the other screen, and whether the cursor is seen. */
  mode(): { readonly isAlternate: boolean; readonly hasCursor: boolean } {
    const [alternate, cursor] = this.#run('display-message', '-p', '#{alternate_on} #{cursor_flag}').trim().split(' ')
    return { isAlternate: alternate === '1', hasCursor: cursor === '1' }
  }

  /** The screen as soon as it matches; fails after a minute, with what it shows. */
  async until(pattern: RegExp): Promise<string> {
    const deadline = performance.now() + 60_000
    for (;;) {
      const screen = this.screen()
      if (pattern.test(screen)) return screen
      assert.ok(performance.now() < deadline, `no ${pattern} on the screen:\n${screen}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  #run(...args: string[]): string {
    const options = { env: { ...this.#env, TERM: 'xterm-256color', LC_ALL: 'C.UTF-8' }, encoding: 'utf8' } as const
    const { stdout, stderr, status } = spawnSync(
      'tmux',
      ['-u', '-f', '/dev/null', '-S', this.#socket, ...args],
      options,
    )
    assert.equal(status, 0, stderr)
    return stdout
  }
}
