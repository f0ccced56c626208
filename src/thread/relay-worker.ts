// What runs in the relay's thread: a home that is asked by messages. It reads the token file itself, so that no other thread
// ever has the token, and the certificates, so that no other thread has the work.

import { subscribe } from 'node:diagnostics_channel'
import { parentPort, workerData } from 'node:worker_threads'
import { asUpstreamProxyError } from '../errors.js'
import type { Logger } from '../log.js'
import { CHANNELS, type EventName } from '../relay/channels.js'
import type { Relay } from '../relay/relay.js'
import { LocalHome } from './local-home.js'
import { answerStatistics } from './statistics-line.js'
import {
  type FromThread,
  fromPlainOptions,
  type ThreadMethods,
  type ThreadNotice,
  type ThreadQuestion,
  type ThreadStart,
  toPlainError,
} from './thread-messages.js'

function say(message: FromThread): void {
  parentPort?.postMessage(message)
}

// -- Notices: many in one message, and before whatever is said behind them --------------------------------------------------

/** Who begins to listen hears the first event so many milliseconds late; while nobody does, 3 events cost some 4 µs. */
const UNHEARD_DELAY_MS = 50

const { statisticsLine, isHeard } = workerData as ThreadStart
const heard = new Int32Array(isHeard)
let notices: ThreadNotice[] = []
let flushTimer: NodeJS.Timeout | undefined

function notifySoon(notice: ThreadNotice): void {
  notices.push(notice)
  if (Atomics.load(heard, 0) === 0) flushTimer ??= setTimeout(flushNotices, UNHEARD_DELAY_MS)
  else if (notices.length === 1) setImmediate(flushNotices)
}

function notifyNow(notice: ThreadNotice): void {
  notices.push(notice)
  flushNotices()
}

function flushNotices(): void {
  clearTimeout(flushTimer)
  flushTimer = undefined
  if (notices.length === 0) return
  const flushed = notices
  notices = []
  say({ notices: flushed })
}

for (const event of Object.keys(CHANNELS) as EventName[])
  subscribe(CHANNELS[event].name, (message) => notifySoon({ event, message: message as object }))

const logger: Logger = {
  error: (error) => notifyNow({ level: 'error', error: toPlainError(error) }),
  warn: (error) => notifyNow({ level: 'warn', error: toPlainError(error) }),
  info: (text) => notifyNow({ level: 'info', text }),
  debug: (text) => notifyNow({ level: 'debug', text }),
}

// -- Questions -------------------------------------------------------------------------------------------------------------

const home = new LocalHome(logger)
let relay: Relay | undefined

const methods: ThreadMethods = {
  readCertificates: (sources) => home.readCertificates(sources),
  readTokenFile: (file) => home.readTokenFile(file),
  removeTokenFile: () => home.removeTokenFile(),
  async listen(options) {
    relay = await home.listen(fromPlainOptions(options))
    return { port: relay.port, statistics: relay.stats() }
  },
  provideCertificates: ({ caUrl, ...inputs }) => home.provideCertificates({ ...inputs, caUrl: new URL(caUrl) }),
  async close(graceMs) {
    await home.close(graceMs)
    return relay?.stats()
  },
}

async function answer({ id, method, args }: ThreadQuestion): Promise<FromThread> {
  try {
    const value = await (methods[method] as (...args: readonly unknown[]) => Promise<unknown>)(...args)
    return { id, value }
  } catch (error) {
    return { id, failure: toPlainError(asUpstreamProxyError(error, 'internal-error', `${method} failed`)) }
  }
}

parentPort?.on('message', async (question: ThreadQuestion) => {
  const message = await answer(question)
  flushNotices()
  say(message)
})
answerStatistics(statisticsLine, () => relay?.stats())
say({ isReady: true })
