// `top`: what `status` says, redrawn in the terminal, with rates from one look to the next.

import { askStatus, findRelay } from '../doctor/running-relay.js'
import type { UpstreamProxyError } from '../errors.js'
import type { RelayStatus } from '../relay/status.js'
import { parseOptions, parsePort, UsageError } from './arguments.js'
import { TOP_USAGE } from './help.js'
import { reportNoRelay, reportNoStatus } from './no-relay.js'
import { formatStatus } from './status-view.js'
import { hasColour, Screen, type ScreenHandler } from './terminal.js'

/** Runs `ccr-upstream-proxy top`; resolves to the exit code. */
export async function topCommand(args: readonly string[]): Promise<number> {
  const options = parseOptions(args, {
    port: { type: 'string' },
    interval: { type: 'string' },
    help: { type: 'boolean', short: 'h' },
  })
  if (options.help) {
    process.stdout.write(TOP_USAGE)
    return 0
  }
  const port = options.port === undefined ? undefined : parsePort(options.port)
  const intervalMs = parseInterval(options.interval ?? '1')
  if (!process.stdin.isTTY || !process.stdout.isTTY)
    throw new UsageError('top needs a terminal: use status without one')
  const relay = await findRelay(port)
  if (relay === undefined) return reportNoRelay()
  if (relay.kind !== 'told') return reportNoStatus(relay.error)
  const isRelayGone = await new LiveView(relay.socket, relay.status, intervalMs).run()
  return isRelayGone ? reportNoRelay() : 0
}

/** Milliseconds. */
function parseInterval(text: string): number {
  const seconds = /^[0-9]{1,4}(?:\.[0-9]{1,3})?$/.test(text) ? Number(text) : 0
  if (seconds >= 0.1 && seconds <= 3_600) return seconds * 1_000
  throw new UsageError('--interval takes seconds from 0.1 to 3600')
}

/** Looks at the relay again and again until the user or the relay goes. */
class LiveView implements ScreenHandler {
  readonly #socket: string
  readonly #intervalMs: number
  readonly #screen = new Screen(this)
  #status: RelayStatus
  #since: RelayStatus | undefined
  /** The last look had no answer: what is shown is of before. */
  #isSilent = false
  #timer: NodeJS.Timeout | undefined
  #end: ((isRelayGone: boolean) => void) | undefined

  constructor(socket: string, status: RelayStatus, intervalMs: number) {
    this.#socket = socket
    this.#status = status
    this.#intervalMs = intervalMs
  }

  /** Resolves when it is over, to whether the relay went. */
  async run(): Promise<boolean> {
    const ended = new Promise<boolean>((resolve) => {
      this.#end = resolve
    })
    this.#screen.open()
    try {
      this.screenOnChange()
      this.#wait()
      return await ended
    } finally {
      clearTimeout(this.#timer)
      this.#screen.close()
    }
  }

  screenOnChange(): void {
    const { columns, rows } = process.stdout
    const rates = this.#since === undefined ? {} : { since: this.#since }
    const view = { columns, rows: rows - 1, hasColour: hasColour(process.stdout), ...rates }
    const footer = this.#isSilent ? 'q: quit · the relay does not answer: these are its last figures' : 'q: quit'
    this.#screen.draw([...formatStatus(this.#status, view), footer.slice(0, columns)])
  }

  screenOnQuit(): void {
    this.#end?.(false)
  }

  #wait(): void {
    this.#timer = setTimeout(() => this.#look(), this.#intervalMs)
  }

  async #look(): Promise<void> {
    try {
      const status = await askStatus(this.#socket)
      this.#since = this.#status
      this.#status = status
      this.#isSilent = false
    } catch (error) {
      if ((error as UpstreamProxyError).code === 'relay-not-found') {
        this.#end?.(true)
        return
      }
      this.#isSilent = true
    }
    this.screenOnChange()
    this.#wait()
  }
}
