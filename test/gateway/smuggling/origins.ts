// The origins of the smuggling matrix. What each request has done to it stands in its path (cases.ts); connections stay open, and
// whatever comes over one of them is read by the letter, to the end.

import type { IncomingMessage, ServerResponse } from 'node:http'
import { constants, type Http2ServerResponse } from 'node:http2'
import type { Listening } from '../../support/listening.js'
import { type RawConnection, startOrigin } from '../../support/origin.js'
import { LoggedBody, type LoggedRequest, RequestLog } from '../../support/request-log.js'
import type { Scope } from '../../support/temp-dir.js'
import type { Deed, Moment } from './cases.js'

/** Bytes of a body with which an origin that answers to a part of it has enough. */
const PART_BYTES = 10

export interface WatchedOrigin {
  readonly listening: Listening
  /** Every request so far, by connection where there is one for several. */
  readonly requests: readonly LoggedRequest[]
  /** What came that is no request. */
  readonly broken: readonly string[]
  /** Resolves when the head of a request for `path` is there. */
  untilSeen(path: string): Promise<void>
}

/** Has the secret of the gateway renewed. */
type Renew = () => void

/** Whether what came is enough for its answer; none when it was given. */
class Script {
  readonly #renew: Renew
  readonly #renewed = new Set<string>()
  readonly #seen = new Set<string>()
  readonly #waiting = new Map<string, () => void>()

  constructor(renew: Renew) {
    this.#renew = renew
  }

  see({ path }: LoggedRequest): void {
    this.#seen.add(path)
    this.#waiting.get(path)?.()
  }

  async untilSeen(path: string): Promise<void> {
    if (!this.#seen.has(path)) await new Promise<void>((resolve) => this.#waiting.set(path, resolve))
  }

  isDue({ path, body, isWhole }: LoggedRequest): boolean {
    const moment = path.split('/')[3] as Moment
    return isWhole || moment === 'head' || (moment === 'part' && body.bytes >= PART_BYTES)
  }

  /** What is done now: a second try of what was to be renewed is answered 200. */
  deedFor({ path }: LoggedRequest): Deed {
    const deed = path.split('/')[4] as Deed
    if (deed !== 'renew') return deed
    if (this.#renewed.has(path)) return '200'
    this.#renewed.add(path)
    this.#renew()
    return '401'
  }
}

export async function startRawOrigin(scope: Scope, renew: Renew): Promise<WatchedOrigin> {
  const logs: RequestLog[] = []
  const script = new Script(renew)
  const handler = (connection: RawConnection) => {
    const log = new RequestLog()
    logs.push(log)
    let answered = 0
    connection.socket.on('data', (bytes: Buffer) => {
      log.push(bytes)
      for (const request of log.requests.slice(answered)) script.see(request)
      for (let next = log.requests[answered]; next !== undefined && script.isDue(next); next = log.requests[answered]) {
        answered++
        connection.write(RAW_ANSWERS[script.deedFor(next)] ?? answerOf(script.deedFor(next)))
      }
    })
  }
  const listening = await startOrigin(scope, { protocol: 'raw', handler })
  return {
    listening,
    get requests() {
      return logs.flatMap(({ requests }) => requests)
    },
    get broken() {
      return logs.flatMap(({ broken }) => broken ?? [])
    },
    untilSeen: (path) => script.untilSeen(path),
  }
}

const RAW_ANSWERS: Partial<Record<Deed, string>> = {
  broken: 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok',
  half: 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok',
  switch: 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n',
  silent: '',
}

function answerOf(status: Deed): string {
  return `HTTP/1.1 ${status} Status\r\nContent-Length: 2\r\n\r\nok`
}

export async function startHttp2Origin(scope: Scope, renew: Renew): Promise<WatchedOrigin> {
  const requests: LoggedRequest[] = []
  const script = new Script(renew)
  const handler = (request: IncomingMessage, response: ServerResponse) => {
    const logged = { ...headOf(request), body: new LoggedBody(), isWhole: false }
    requests.push(logged)
    script.see(logged)
    let isAnswered = false
    const look = () => {
      if (isAnswered || !script.isDue(logged)) return
      isAnswered = true
      perform(script.deedFor(logged), response as unknown as Http2ServerResponse)
    }
    request.on('data', (bytes: Buffer) => {
      logged.body.push(bytes)
      look()
    })
    request.on('end', () => {
      // Node ends what is reset, too.
      const { rstCode, aborted } = (response as unknown as Http2ServerResponse).stream
      logged.isWhole = rstCode === 0 && !aborted
      look()
    })
    look()
  }
  const listening = await startOrigin(scope, { protocol: 'http2', handler })
  return { listening, requests, broken: [], untilSeen: (path) => script.untilSeen(path) }
}

function headOf({
  method = '',
  url = '',
  rawHeaders,
}: IncomingMessage): Pick<LoggedRequest, 'method' | 'path' | 'fields'> {
  const fields = new Map<string, string[]>()
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const [name, value] = rawHeaders.slice(at, at + 2) as [string, string]
    fields.set(name, [...(fields.get(name) ?? []), value])
  }
  return { method, path: url, fields }
}

function perform(deed: Deed, { stream }: Http2ServerResponse): void {
  switch (deed) {
    case 'silent':
      return
    case 'broken':
      stream.close(constants.NGHTTP2_INTERNAL_ERROR)
      return
    case 'half':
      stream.respond({ ':status': 200, 'content-length': 4 })
      stream.write('ok')
      return
    default:
      stream.respond({ ':status': Number(deed), 'content-length': 2 })
      stream.end('ok')
  }
}
