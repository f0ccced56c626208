// A client that begins a request head and never ends it. Node watches that only for servers that listen on a port; ours
// are fed tunnels.

import type { Server } from 'node:http'
import type { TLSSocket } from 'node:tls'

/**
 * Calls `onLate` when a head was begun `timeoutMs` ago and is still not there. Node's parser reads past JavaScript, so
 * that only the count of bytes tells: it grew although no request is under way.
 */
export function watchRequestHeads(secured: TLSSocket, server: Server, timeoutMs: number, onLate: () => void): void {
  let underWay = 0
  let bytesAtRest = 0
  let begunAt: number | undefined
  const rest = () => {
    bytesAtRest = secured.bytesRead
    begunAt = undefined
  }
  const onRequest = (_request: unknown, response: { once(event: 'close', listener: () => void): unknown }) => {
    underWay++
    response.once('close', () => {
      underWay--
      rest()
    })
  }
  const check = () => {
    if (underWay > 0 || secured.bytesRead === bytesAtRest) return
    begunAt ??= Date.now()
    if (Date.now() - begunAt >= timeoutMs) stop(onLate)
  }
  const timer = setInterval(check, timeoutMs / 4)
  const stop = (then?: () => void) => {
    clearInterval(timer)
    then?.()
  }
  server.prependListener('request', onRequest)
  server.prependListener('checkContinue', onRequest)
  server.prependListener('checkExpectation', onRequest)
  // What is upgraded has no heads any more.
  server.once('upgrade', () => stop())
  secured.once('close', () => stop())
}
