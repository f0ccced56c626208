// The WebSockets to the gateway on Node: `ws` shakes hands, and from the 101 on the connection is read and written here, with the
// frames of src/protocol. `ws` would put every message together and copy it, and holds 10 KiB for a connection that rests.
//
// Rules:
// - A listener is installed once a socket, never once a message.
// - Each frame is written with one call, so frames never lie inside each other.
// - Behind our Close frame nothing is sent. The gateway's is answered with its own code (RFC 6455, section 5.5.1), a fault with
//   the code for it (section 7.1.7).
// - A ping that comes while a pong still waits to be sent takes the place of the one before (section 5.5.3).

import type { Socket } from 'node:net'
import { type Deadline, startDeadline } from '../deadline.js'
import type { UpstreamProxyError } from '../errors.js'
import { encodeCloseFrame, encodeControlFrame, encodeEndFrame } from '../protocol/control-frame.js'
import { FrameEncoder, selectEncodeFrames } from '../protocol/frame.js'
import { type FrameFault, FrameReader, type FrameReaderHandler } from '../protocol/frame-reader.js'
import { MaskKeys } from '../protocol/mask-keys.js'
import { faultReceived } from './failures.js'
import { Upgrade, type UpgradeHandler } from './node-upgrade.js'
import { FrameWriter } from './node-upload.js'
import type { GatewayDialer, GatewayEndpoint, GatewayHandler, GatewaySocket } from './runtime.js'
import { Turns } from './turns.js'

/** Milliseconds that the gateway gets to answer our Close frame and to close the connection. */
const CLOSE_TIMEOUT_MS = 5_000

/** RFC 6455, section 7.1.5: the connection ended without a Close frame. */
const NO_CLOSE_FRAME = 1006

const NO_BODY = new Uint8Array(0)

/** What all sockets of a dialer share. */
interface Shared {
  readonly endpoint: GatewayEndpoint
  readonly keys: MaskKeys
  readonly encoder: FrameEncoder
  /** For the upgrades. */
  readonly turns: Turns
  readonly onClosed: (socket: NodeGatewaySocket) => void
}

/** Opens WebSockets on Node. */
export class NodeGatewayDialer implements GatewayDialer {
  readonly #shared: Shared
  readonly #sockets = new Set<NodeGatewaySocket>()
  #onEmpty: (() => void) | undefined

  constructor(endpoint: GatewayEndpoint) {
    const keys = new MaskKeys()
    const encoder = new FrameEncoder(endpoint.maxSentMessageBytes, selectEncodeFrames(), keys)
    this.#shared = { endpoint, keys, encoder, turns: new Turns(), onClosed: (socket) => this.#forget(socket) }
  }

  dial(url: URL, headers: Readonly<Record<string, string>>, handler: GatewayHandler): GatewaySocket {
    const socket = new NodeGatewaySocket(this.#shared, handler)
    // In this order: one that throws here tells nothing of its end.
    socket.dial(url, headers)
    this.#sockets.add(socket)
    return socket
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.terminate()
    if (this.#sockets.size > 0) await new Promise<void>((resolve) => (this.#onEmpty = resolve))
  }

  #forget(socket: NodeGatewaySocket): void {
    this.#sockets.delete(socket)
    if (this.#sockets.size === 0) this.#onEmpty?.()
  }
}

class NodeGatewaySocket implements GatewaySocket, UpgradeHandler, FrameReaderHandler {
  readonly #shared: Shared
  #handler: GatewayHandler
  /** Until the connection is open. */
  #upgrade: Upgrade | undefined
  #socket: Socket | undefined
  #writer: FrameWriter | undefined
  /** Whether the handler waits for a drain. */
  #isWaiting = false
  /** Whether the handler is told nothing any more. */
  #isLetGo = false
  #hasSentClose = false
  #closeDeadline: Deadline | undefined
  /** The body of a ping that is not answered yet. */
  #ping: Uint8Array | undefined
  #isPongWaiting = false

  constructor(shared: Shared, handler: GatewayHandler) {
    this.#shared = shared
    this.#handler = handler
  }

  dial(url: URL, headers: Readonly<Record<string, string>>): void {
    const { endpoint: route, turns } = this.#shared
    this.#upgrade = new Upgrade(url, headers, { route, turns }, this)
  }

  get queuedBytes(): number {
    return this.#socket?.writableLength ?? 0
  }

  handTo(handler: GatewayHandler): void {
    this.#handler = handler
  }

  send(payload: Uint8Array): boolean {
    if (this.#writer === undefined || !this.#canSend) return true
    this.#writer.send(payload)
    this.#isWaiting = this.queuedBytes >= this.#shared.endpoint.highWaterMarkBytes
    return !this.#isWaiting
  }

  endSending(): void {
    if (this.#canSend) this.#socket?.write(encodeEndFrame(this.#shared.keys))
  }

  ping(): void {
    this.#sendControl('ping', NO_BODY)
  }

  pong(): void {
    this.#sendControl('pong', NO_BODY)
  }

  pauseReading(): void {
    this.#socket?.pause()
  }

  resumeReading(): void {
    this.#socket?.resume()
  }

  close(): void {
    if (this.#isLetGo) return
    this.#isLetGo = true
    this.#upgrade?.terminate()
    this.#sendClose(1000)
    // To the gateway's Close frame.
    this.#socket?.resume()
  }

  terminate(): void {
    this.#isLetGo = true
    this.#upgrade?.terminate()
    this.#socket?.destroy()
  }

  // -- The upgrade ---------------------------------------------------------------------------------------------------------

  upgradeOnOpen(socket: Socket, head: Buffer): void {
    this.#upgrade = undefined
    this.#socket = socket
    this.#writer = new FrameWriter(socket, this.#shared.encoder, () => this.#onWritten())
    const reader = new FrameReader(this, this.#shared.endpoint.maxReceivedMessageBytes)
    // An 'error' says nothing that the 'close' behind it does not.
    socket
      .on('error', () => {})
      .on('end', () => socket.destroy())
      .on('close', () => this.#onClose())
    if (!this.#isLetGo) this.#handler.gatewayOnOpen()
    if (head.length > 0) reader.push(head)
    socket.on('data', (bytes: Buffer) => reader.push(bytes))
  }

  upgradeOnFailure(error: UpstreamProxyError): void {
    this.#fail(error)
  }

  upgradeOnClose(): void {
    this.#shared.onClosed(this)
  }

  // -- What the gateway sends ----------------------------------------------------------------------------------------------

  frameOnData(payload: Uint8Array): void {
    if (!this.#isLetGo) this.#handler.gatewayOnData(payload)
  }

  frameOnEnd(): void {
    if (!this.#isLetGo) this.#handler.gatewayOnEnd()
  }

  frameOnPing(body: Uint8Array): void {
    this.#ping = body
    this.#answerPing()
  }

  frameOnPong(): void {
    if (!this.#isLetGo) this.#handler.gatewayOnPong()
  }

  frameOnClose(code: number): void {
    this.#sendClose(code)
    this.#socket?.end().resume()
    this.#tellEnd(code)
  }

  frameOnFault(fault: FrameFault): void {
    this.#sendClose(fault.closeCode)
    this.#fail(faultReceived(fault))
  }

  #onClose(): void {
    this.#closeDeadline?.clear()
    this.#shared.onClosed(this)
    this.#tellEnd(NO_CLOSE_FRAME)
  }

  #tellEnd(code: number): void {
    if (this.#isLetGo) return
    this.#isLetGo = true
    this.#handler.gatewayOnClose({ code })
  }

  /** The first failure is the last word of the socket. */
  #fail(error: UpstreamProxyError): void {
    if (!this.#isLetGo) this.#handler.gatewayOnFailure(error)
    this.terminate()
  }

  // -- What is sent --------------------------------------------------------------------------------------------------------

  get #canSend(): boolean {
    return !this.#hasSentClose && this.#socket?.writable === true
  }

  #onWritten(): void {
    if (!this.#isWaiting || this.queuedBytes > this.#shared.endpoint.lowWaterMarkBytes) return
    this.#isWaiting = false
    if (!this.#isLetGo) this.#handler.gatewayOnDrain()
  }

  #answerPing(): void {
    const body = this.#ping
    if (body === undefined || this.#isPongWaiting) return
    this.#ping = undefined
    this.#isPongWaiting = true
    this.#sendControl('pong', body, () => {
      this.#isPongWaiting = false
      this.#answerPing()
    })
  }

  #sendControl(kind: 'ping' | 'pong', body: Uint8Array, onWritten?: () => void): void {
    if (this.#canSend) this.#socket?.write(encodeControlFrame(kind, body, this.#shared.keys), onWritten)
  }

  #sendClose(code: number): void {
    const socket = this.#socket
    if (socket === undefined || !this.#canSend) return
    socket.write(encodeCloseFrame(code, this.#shared.keys))
    this.#hasSentClose = true
    this.#closeDeadline = startDeadline(CLOSE_TIMEOUT_MS, () => socket.destroy())
  }
}
