// Control, for Bun alone: a socket of Bun's to the gateway for every one of a client's, TLS with resumption, and nothing else: no
// handshake of a WebSocket, no frames, no limits, no back-pressure. What a tunnel costs beyond it is ours to answer for.

import { createSecureContext } from 'node:tls'
import { Bun, type BunSocket, type BunSocketOwner, plainEvents, tlsEvents } from '#src/runtime/bun-socket.js'
import type { RelaySettings } from '../processes/relay-host.js'

const HOST = '127.0.0.1'

export async function start({ gatewayPort, trustedCertificates }: RelaySettings): Promise<number> {
  // What Bun's sockets take is inside of what its node:tls makes.
  const secureContext = createSecureContext({ ca: trustedCertificates }).context
  const tls = { secureContext, rejectUnauthorized: true, serverName: HOST, ALPNProtocols: '\x08http/1.1' } as const
  const sessions: Sessions = { last: undefined }
  const open = (client: BunSocket): void => {
    client.setNoDelay(true)
    const [near, far] = [new End(sessions), new End(sessions)]
    client.data = near
    near.join(client, far)
    far.other = near
    Bun.connect({ hostname: HOST, port: gatewayPort, allowHalfOpen: false, data: far, socket: tlsEvents, tls }).catch(
      () => client.end(),
    )
  }
  return Bun.listen({ hostname: HOST, port: 0, allowHalfOpen: false, socket: { ...plainEvents, open } }).port
}

interface Sessions {
  last: Buffer | undefined
}

/** One of the two sockets of a tunnel. */
class End implements BunSocketOwner {
  other: End | undefined
  readonly #sessions: Sessions
  #socket: BunSocket | undefined
  /** What came for it before it was open. */
  #early: Uint8Array[] = []

  constructor(sessions: Sessions) {
    this.#sessions = sessions
  }

  join(socket: BunSocket, other = this.other): void {
    this.#socket = socket
    this.other = other
    for (const bytes of this.#early) socket.write(bytes)
    this.#early = []
  }

  write(bytes: Uint8Array): void {
    if (this.#socket === undefined) this.#early.push(bytes)
    else this.#socket.write(bytes)
  }

  end(): void {
    this.#socket?.end()
  }

  onOpen(socket: BunSocket): void {
    socket.setNoDelay(true)
    if (this.#sessions.last !== undefined) socket.setSession(this.#sessions.last)
  }

  onHandshake(socket: BunSocket, isVerified: boolean): void {
    if (isVerified) this.join(socket)
    else socket.terminate()
  }

  onSession(session: Buffer): void {
    this.#sessions.last = session
  }

  onData(bytes: Uint8Array): void {
    this.other?.write(bytes)
  }

  onDrain(): void {}

  onEnd(): void {}

  onClose(): void {
    this.other?.end()
  }
}
