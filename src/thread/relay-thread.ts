// The program's end of the relay's thread. The thread gets nothing of the program but what it is told here: no options of the
// runtime, no environment, no standard input.

import { channel } from 'node:diagnostics_channel'
import { Worker } from 'node:worker_threads'
import { startDeadline } from '../deadline.js'
import { asUpstreamProxyError, systemCode, UpstreamProxyError } from '../errors.js'
import type { Logger } from '../log.js'
import { CHANNELS, type EventName } from '../relay/channels.js'
import { DEFAULT_CLOSE_GRACE_MS } from '../relay/limits.js'
import type { RelayStatistics } from '../relay/monitor.js'
import type { Relay } from '../relay/relay.js'
import type { ProvidedCertificates } from '../system/certificates/certificate-keeper.js'
import type { CertificateSources } from '../system/certificates/certificate-sources.js'
import type { HomeProvision, HomeRelayOptions, RelayHome, TokenFile } from './relay-home.js'
import { StatisticsLine } from './statistics-line.js'
import {
  type FromThread,
  fromPlainError,
  type ThreadAnswer,
  type ThreadMethods,
  type ThreadNotice,
  type ThreadQuestion,
  type ThreadStart,
  toPlainOptions,
} from './thread-messages.js'

/** Milliseconds that a relay gets to close beyond the grace of its tunnels. */
const CLOSE_TIMEOUT_MS = 10_000

/** Milliseconds for the thread to load its code: a hundred times what it takes. */
const START_TIMEOUT_MS = 10_000

/** Addons for `ws` that lie beside the program by chance stay out of the thread that has the token. */
const ENVIRONMENT = { WS_NO_BUFFER_UTIL: '1', WS_NO_UTF_8_VALIDATE: '1' }

interface Waiting {
  resolve(value: unknown): void
  reject(error: UpstreamProxyError): void
}

export class RelayThread implements RelayHome {
  readonly #logger: Logger
  readonly #worker: Worker
  readonly #statisticsLine = new StatisticsLine()
  readonly #isHeard = new Int32Array(new SharedArrayBuffer(4))
  readonly #exited: Promise<void>
  readonly #ready: Promise<void>
  readonly #waiting = new Map<number, Waiting>()
  #questions = 0
  /** The last figures that came. */
  #statistics: RelayStatistics | undefined
  #onReady: ((error?: UpstreamProxyError) => void) | undefined
  /** Port of the relay from listening to the event `closed`. */
  #port: number | undefined
  /** What an uncaught exception in the thread was. */
  #cause: unknown
  #end: UpstreamProxyError | undefined
  #closeGraceMs = DEFAULT_CLOSE_GRACE_MS
  #closing: Promise<void> | undefined

  /**
   * Resolves when the thread has loaded its code.
   * @throws {UpstreamProxyError} `thread-ended`
   */
  static async start(logger: Logger): Promise<RelayThread> {
    const thread = new RelayThread(logger)
    try {
      await thread.#ready
    } catch (error) {
      await thread.#terminate()
      throw error
    }
    return thread
  }

  private constructor(logger: Logger) {
    this.#logger = logger
    this.#noteListeners()
    const start: ThreadStart = {
      statisticsLine: this.#statisticsLine.end,
      isHeard: this.#isHeard.buffer as SharedArrayBuffer,
    }
    this.#worker = new Worker(new URL('./relay-worker.js', import.meta.url), {
      name: 'ccr-upstream-proxy',
      workerData: start,
      transferList: [start.statisticsLine.port],
      execArgv: [],
      env: ENVIRONMENT,
    })
    this.#worker.on('message', (message: FromThread) => this.#onMessage(message))
    this.#worker.on('error', (error) => {
      this.#cause = error
    })
    this.#exited = new Promise((resolve) => {
      this.#worker.once('exit', () => {
        this.#onExit()
        resolve()
      })
    })
    this.#ready = this.#untilReady()
  }

  async readCertificates(sources: CertificateSources): Promise<void> {
    await this.#ask('readCertificates', sources)
  }

  async readTokenFile(file: TokenFile): Promise<void> {
    await this.#ask('readTokenFile', file)
  }

  async removeTokenFile(): Promise<void> {
    await this.#ask('removeTokenFile')
  }

  async listen(options: HomeRelayOptions): Promise<Relay> {
    const { port, statistics } = await this.#ask('listen', toPlainOptions(options))
    this.#closeGraceMs = options.closeGraceMs ?? DEFAULT_CLOSE_GRACE_MS
    this.#port = port
    this.#statistics = statistics
    return {
      port,
      proxyUrl: `http://127.0.0.1:${port}`,
      stats: () => this.#latestStatistics(statistics),
      close: (graceMs) => this.close(graceMs),
      [Symbol.asyncDispose]: () => this.close(),
    }
  }

  provideCertificates({ caUrl, ...inputs }: HomeProvision): Promise<ProvidedCertificates> {
    return this.#ask('provideCertificates', { ...inputs, caUrl: caUrl.href })
  }

  close(graceMs?: number): Promise<void> {
    this.#closing ??= this.#close(graceMs)
    return this.#closing
  }

  async #close(graceMs = this.#closeGraceMs): Promise<void> {
    const deadline = startDeadline(graceMs + CLOSE_TIMEOUT_MS, () => this.#worker.terminate())
    try {
      this.#statistics = await this.#ask('close', graceMs)
    } catch {
      // It has ended by itself or by the deadline, and that was logged.
    }
    deadline.clear()
    await this.#terminate()
  }

  async #terminate(): Promise<void> {
    // What it resolves with differs between runtimes, and may come before the event.
    await this.#worker.terminate()
    await this.#exited
  }

  #latestStatistics(first: RelayStatistics): RelayStatistics {
    if (this.#end === undefined) this.#statistics = this.#statisticsLine.ask() ?? this.#statistics
    return this.#statistics ?? first
  }

  #untilReady(): Promise<void> {
    return new Promise((resolve, reject) => {
      const onLate = (): void => this.#onReady?.(threadEnded('it did not start in time'))
      const deadline = startDeadline(START_TIMEOUT_MS, onLate)
      this.#onReady = (error) => {
        deadline.clear()
        if (error === undefined) resolve()
        else reject(error)
      }
    })
  }

  #ask<Method extends keyof ThreadMethods>(
    method: Method,
    ...args: Parameters<ThreadMethods[Method]>
  ): ReturnType<ThreadMethods[Method]> {
    const asked = new Promise((resolve, reject) => {
      if (this.#end !== undefined) return reject(this.#end)
      const id = ++this.#questions
      this.#waiting.set(id, { resolve, reject })
      try {
        this.#worker.postMessage({ id, method, args } satisfies ThreadQuestion)
      } catch (error) {
        this.#waiting.delete(id)
        reject(asUpstreamProxyError(error, 'config-invalid', 'the options are no plain data, and thread is worker'))
      }
    })
    return asked as ReturnType<ThreadMethods[Method]>
  }

  #onMessage(message: FromThread): void {
    if ('isReady' in message) this.#onReady?.()
    else if ('notices' in message) this.#pass(message.notices)
    else this.#settle(message)
  }

  #settle({ id, value, failure }: ThreadAnswer): void {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    if (failure === undefined) waiting?.resolve(value)
    else waiting?.reject(fromPlainError(failure))
  }

  /** A runtime does not tell when somebody begins to listen, so the thread always tells; but not at once to nobody. */
  #noteListeners(): void {
    const isHeard = Object.values(CHANNELS).some(({ hasSubscribers }) => hasSubscribers)
    Atomics.store(this.#isHeard, 0, isHeard ? 1 : 0)
  }

  /** As if it had come to pass in this thread. */
  #pass(notices: readonly ThreadNotice[]): void {
    this.#noteListeners()
    for (const notice of notices) {
      if ('event' in notice) this.#publish(notice.event, notice.message)
      else if ('text' in notice) this.#logger[notice.level](notice.text)
      else this.#logger[notice.level](fromPlainError(notice.error))
    }
  }

  #publish(event: EventName, message: object): void {
    if (event === 'state' && (message as { state?: unknown }).state === 'closed') this.#port = undefined
    channel(CHANNELS[event].name).publish(message)
  }

  #onExit(): void {
    const end = threadEnded(describeCause(this.#cause))
    this.#end = end
    this.#statisticsLine.close()
    this.#onReady?.(end)
    for (const { reject } of this.#waiting.values()) reject(end)
    this.#waiting.clear()
    if (this.#port === undefined) return
    this.#logger.error(end)
    this.#publish('state', { state: 'closed', port: this.#port })
  }
}

function threadEnded(why: string): UpstreamProxyError {
  return new UpstreamProxyError('thread-ended', `the thread of the relay is not there: ${why}`)
}

/** By its code or its name: a message could quote anything. */
function describeCause(cause: unknown): string {
  if (cause === undefined) return 'it was ended'
  return `it ended with ${systemCode(cause) || (cause instanceof Error ? cause.name : typeof cause)}`
}
