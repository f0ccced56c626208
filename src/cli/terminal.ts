// The terminal: whether it wants colour, and a full screen that is put back as it was, whatever ends the program.

import { exitCodeOf, onSignals } from './signals.js'

/** Only a terminal that is more than a printer (terminfo(5) calls that dumb). */
export function takesControlSequences(stream: NodeJS.WriteStream): boolean {
  return stream.isTTY === true && process.env.TERM !== 'dumb'
}

/** Not when its user wants none (https://no-color.org). */
export function hasColour(stream: NodeJS.WriteStream): boolean {
  return takesControlSequences(stream) && !process.env.NO_COLOR
}

// xterm's control sequences: https://invisible-island.net/xterm/ctlseqs/ctlseqs.html
const ENTER = '\x1b[?1049h\x1b[?25l'
const LEAVE = '\x1b[?25h\x1b[?1049l'
const HOME = '\x1b[H'
const CLEAR_LINE_END = '\x1b[K'
const CLEAR_BELOW = '\x1b[J'

const END_SIGNALS: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT']

const CONTROL_C = '\x03'
const CONTROL_Z = '\x1a'
const QUIT_KEYS = ['q', 'Q', CONTROL_C]

/** What happens on the screen. */
export interface ScreenHandler {
  /** It must be drawn again: its size has changed, or it was in the background. */
  screenOnChange(): void
  /** The user wants to go. */
  screenOnQuit(): void
}

/** The terminal's other screen, with the cursor hidden and keys read one by one, from open() to close(). */
export class Screen {
  readonly #handler: ScreenHandler
  readonly #onExit = (): void => this.#leave()
  readonly #onKey = (keys: Buffer): void => this.#keys(keys.toString('latin1'))
  readonly #onResize = (): void => this.#handler.screenOnChange()
  #stopSignals: (() => void)[] = []
  #isShown = false

  constructor(handler: ScreenHandler) {
    this.#handler = handler
  }

  open(): void {
    this.#enter()
    process.once('exit', this.#onExit)
    process.stdin.on('data', this.#onKey).resume()
    process.stdout.on('resize', this.#onResize)
    this.#stopSignals = [
      onSignals(END_SIGNALS, (signal) => process.exit(exitCodeOf(signal))),
      onSignals(['SIGTSTP'], () => this.#suspend()),
      onSignals(['SIGCONT'], () => this.#continue()),
    ]
  }

  /** Puts everything back. */
  close(): void {
    for (const stop of this.#stopSignals) stop()
    process.stdout.removeListener('resize', this.#onResize)
    process.stdin.removeListener('data', this.#onKey).pause()
    process.removeListener('exit', this.#onExit)
    this.#leave()
  }

  /** Draws `lines` over what was there, without the flicker of clearing it first. */
  draw(lines: readonly string[]): void {
    if (!this.#isShown) return
    process.stdout.write(`${HOME}${lines.map((line) => `${line}${CLEAR_LINE_END}`).join('\r\n')}${CLEAR_BELOW}`)
  }

  #enter(): void {
    this.#isShown = true
    process.stdin.setRawMode(true)
    process.stdout.write(ENTER)
  }

  #leave(): void {
    if (!this.#isShown) return
    this.#isShown = false
    process.stdin.setRawMode(false)
    process.stdout.write(LEAVE)
  }

  /** In raw mode ^Z is a key, and what the terminal would have done is left to do: to stop the whole foreground group. */
  #keys(keys: string): void {
    if (QUIT_KEYS.some((key) => keys.includes(key))) this.#handler.screenOnQuit()
    else if (keys.includes(CONTROL_Z)) process.kill(0, 'SIGTSTP')
  }

  /** SIGTSTP is caught to get here; SIGSTOP cannot be. */
  #suspend(): void {
    this.#leave()
    process.kill(process.pid, 'SIGSTOP')
  }

  #continue(): void {
    if (this.#isShown) return
    this.#enter()
    this.#handler.screenOnChange()
  }
}
