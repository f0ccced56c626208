// Control: the relay that one writes in an afternoon, with node:http for the CONNECT and `ws` for the WebSocket, a message put
// together for every read and a write for every message. It holds back a fast sender, and that is all the care it takes.

import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type ClientOptions, WebSocket } from 'ws'
import { chunkHeaderLength, decodeChunk, writeChunkHeader } from '#src/protocol/chunk.js'
import type { RelaySettings } from '../processes/relay-host.js'

const TOKEN = 'token-of-the-bench'
const HIGH_WATER_MARK = 1_048_576
/** On Bun nothing tells when the bytes have left, so both runtimes ask. */
const POLL_MS = 1

export async function start(settings: RelaySettings): Promise<number> {
  const server = createServer()
  server.on('connect', (request, client, head) => carry(settings, request, client, head))
  server.listen({ host: '127.0.0.1', port: 0, backlog: 511 })
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

function carry(settings: RelaySettings, request: IncomingMessage, client: Duplex, head: Buffer): void {
  const { trustedCertificates: ca, gatewayPort } = settings
  const options: ClientOptions & { tls: object } = {
    headers: { Authorization: `Bearer ${TOKEN}`, 'Content-Type': 'application/proto' },
    perMessageDeflate: false,
    ca,
    // The same for Bun, whose `ws` is its own.
    tls: { ca },
  }
  const webSocket = new WebSocket(`wss://127.0.0.1:${gatewayPort}/upstreamproxy/ws`, options)
  webSocket.binaryType = 'nodebuffer'
  ;(client as Socket).setNoDelay?.(true)
  client.pause()
  webSocket.on('open', () => {
    webSocket.send(encode(Buffer.concat([connectHead(request), head])))
    upload(client, webSocket)
  })
  download(webSocket, client)
  client.on('error', () => webSocket.terminate()).on('close', () => webSocket.close())
  webSocket.on('error', () => client.destroy()).on('close', () => client.end())
}

function connectHead({ url }: IncomingMessage): Buffer {
  const credential = Buffer.from(`session:${TOKEN}`).toString('base64')
  return Buffer.from(`CONNECT ${url} HTTP/1.1\r\nHost: ${url}\r\nProxy-Authorization: Basic ${credential}\r\n\r\n`)
}

function upload(client: Duplex, webSocket: WebSocket): void {
  const resume = (): void => {
    if (webSocket.bufferedAmount > HIGH_WATER_MARK) setTimeout(resume, POLL_MS)
    else client.resume()
  }
  client.on('data', (data: Buffer) => {
    webSocket.send(encode(data))
    if (webSocket.bufferedAmount <= HIGH_WATER_MARK) return
    client.pause()
    setTimeout(resume, POLL_MS)
  })
  client.resume()
}

function download(webSocket: WebSocket, client: Duplex): void {
  webSocket.on('message', (message: Buffer) => {
    for (const data of decodeChunk(message).payloads) if (!client.write(data)) webSocket.pause()
  })
  client.on('drain', () => webSocket.resume())
}

function encode(data: Buffer): Buffer {
  const header = Buffer.allocUnsafe(chunkHeaderLength(data.length))
  writeChunkHeader(header, 0, data.length)
  return Buffer.concat([header, data])
}
