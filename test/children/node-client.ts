// A program of the agent's on Node, for the tests of the preload. It runs on every Node version: `node node-client.js
// WAY URL` asks for URL and prints what came, or the error's code and message behind `error:`.

import http from 'node:http'
import https from 'node:https'
import { Socket } from 'node:net'
import { isMainThread, Worker, workerData } from 'node:worker_threads'

type Way = (url: string) => Promise<string>

const ways: Record<string, Way> = {
  'https.get': (url) => get(https, url),
  'http.get': (url) => get(http, url),
  'https.get with an agent of its own': (url) => get(https, url, { agent: new https.Agent() }),
  'https.get three times over one connection': async (url) => {
    https.globalAgent = Object.assign(https.globalAgent, { keepAlive: true })
    for (let time = 0; time < 2; time++) await get(https, url)
    let isReused = false
    const answer = await get(https, url, {}, (request) => {
      isReused = request.reusedSocket
    })
    https.globalAgent.destroy()
    return `${answer} reused: ${isReused}`
  },
  'https.get in a hurry': (url) => {
    const { setTimeout } = Socket.prototype
    Socket.prototype.setTimeout = function (milliseconds, ...rest) {
      return setTimeout.call(this, milliseconds / 1000, ...rest)
    }
    return get(https, url)
  },
  fetch: (url) => fetch(url).then((response) => response.text()),
  'fetch of a Request': (url) => fetch(new Request(url)).then((response) => response.text()),
  'fetch after its machinery was loaded': (url) => {
    new Headers()
    return fetch(url).then((response) => response.text())
  },
  'fetch with a dispatcher of its own': (url) => {
    new Headers()
    const holder = globalThis as unknown as Record<symbol, { constructor: new (options: object) => never }>
    const dispatcher = Symbol.for('undici.globalDispatcher.1')
    const Agent = holder[dispatcher]?.constructor
    if (Agent !== undefined) holder[dispatcher] = new Agent({ connect: { timeout: 5000 } })
    return fetch(url).then((response) => response.text())
  },
  'an upload by fetch': (url) =>
    fetch(url, { method: 'POST', body: Buffer.alloc(200_000, 'x') }).then((response) => response.text()),
  'fetch in a worker': (url) => inWorker('fetch', url),
  'https.get in a worker': (url) => inWorker('https.get', url),
}

const [name, url] = isMainThread ? process.argv.slice(2) : (workerData as string[])
const way = ways[name ?? '']
if (way === undefined || url === undefined) throw new Error(`no way ${name}`)
try {
  process.stdout.write(`${await way(url)}\n`)
} catch (error) {
  const { cause, code, message } = error as Error & { cause?: Error & { code?: string }; code?: string }
  process.stdout.write(`error: ${cause?.code ?? code} ${cause?.message ?? message}\n`)
}

function get(
  module: typeof http | typeof https,
  address: string,
  options: https.RequestOptions = {},
  onAnswer: (request: http.ClientRequest) => void = () => {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = module
      .get(address, options, (response) => {
        let text = ''
        onAnswer(request)
        response.setEncoding('utf8').on('data', (piece: string) => {
          text += piece
        })
        response.on('end', () => resolve(text)).on('error', reject)
      })
      .on('error', reject)
  })
}

/** The worker writes to the same standard output. */
function inWorker(inner: string, address: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: [inner, address] })
    worker.once('exit', () => resolve('')).once('error', reject)
  })
}
