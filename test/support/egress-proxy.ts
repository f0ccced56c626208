// A proxy between the relay and the gateway that tests script.

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import type { TestCertificate } from './test-ca.js'

/** What a scripted proxy does with a connection whose head has come. */
export type ProxyScript = (socket: Socket, head: string) => void

export class ScriptedProxy {
  readonly port: number
  /** Request heads, in order. */
  readonly heads: string[] = []
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  constructor(server: Server, script: ProxyScript) {
    this.#server = server
    this.port = (server.address() as AddressInfo).port
    server.on(server.listenerCount('secureConnection') === 0 ? 'connection' : 'secureConnection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.on('error', () => {}).on('close', () => this.#sockets.delete(socket))
      this.#readHead(socket, script)
    })
  }

  #readHead(socket: Socket, script: ProxyScript): void {
    let text = ''
    const onData = (bytes: Buffer): void => {
      text += bytes.toString('latin1')
      const end = text.indexOf('\r\n\r\n')
      if (end === -1) return
      socket.removeListener('data', onData)
      socket.pause()
      const head = text.slice(0, end + 4)
      this.heads.push(head)
      if (text.length > head.length) socket.unshift(Buffer.from(text.slice(head.length), 'latin1'))
      script(socket, head)
    }
    socket.on('data', onData)
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

/** Starts a scripted proxy on a free port; with a certificate its clients speak TLS to it. */
export async function startScriptedProxy(script: ProxyScript, certificate?: TestCertificate): Promise<ScriptedProxy> {
  const server = certificate === undefined ? createServer() : createTlsServer({ ...certificate })
  if (certificate !== undefined) server.on('secureConnection', () => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return new ScriptedProxy(server, script)
}

/** Connects to what the head asks for and passes bytes on, behind `answer`. */
export function tunnelBehind(answer: string): ProxyScript {
  return (client, head) => {
    const [, host, port] = /^CONNECT \[?([^\]\s]+?)\]?:([0-9]+) /.exec(head) as unknown as [string, string, string]
    const upstream = connect(Number(port), host, () => {
      client.write(answer)
      client.pipe(upstream).pipe(client)
    })
    upstream.on('error', () => client.destroy())
    client.on('close', () => upstream.destroy())
  }
}
