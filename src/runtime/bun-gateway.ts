// The WebSockets to the gateway on Bun: our own handshake and frames over Bun's sockets. Its native WebSocket makes an event of
// every message, however small, does not tell when its bytes have left, and says why it was refused in prose alone.
//
// Rules:
// - Each frame is written with one call, so frames never lie inside each other.
// - Behind our Close frame nothing is sent. The gateway's is answered with its own code (RFC 6455, section 5.5.1), a fault with
//   the code for it (section 7.1.7).
// - A ping that comes while the upload waits is answered behind it, and only the last of them (section 5.5.3).

import { type Deadline, startDeadline } from '../deadline.js'
import { asUpstreamProxyError, type UpstreamProxyError } from '../errors.js'
import { encodeCloseFrame, encodeControlFrame, encodeEndFrame } from '../protocol/control-frame.js'
import { FrameEncoder, selectEncodeFrames } from '../protocol/frame.js'
import { type FrameFault, FrameReader, type FrameReaderHandler } from '../protocol/frame-reader.js'
import { MaskKeys } from '../protocol/mask-keys.js'
import { createUpgradeKey, encodeUpgradeRequest, UpgradeAnswerParser } from '../protocol/upgrade.js'
import { connectToGateway } from './bun-dial.js'
import { FrameWriter } from './bun-upload.js'
import { dialFailed, faultReceived, notWebSocket, upgradeRefused } from './failures.js'
import type {
  Connection,
  ConnectionHandler,
  GatewayDialer,
  GatewayEndpoint,
  GatewayHandler,
  GatewaySocket,
} from './runtime.js'

/** Milliseconds that the gateway gets to answer our Close frame and to close the connection. */
const CLOSE_TIMEOUT_MS = 5_000

/** RFC 6455, section 7.1.5: the connection ended without a Close frame. */
const NO_CLOSE_FRAME = 1006

const NO_BODY = new Uint8Array(0)

/** What all sockets of a dialer share. */
interface Shared {
  readonly endpoint: GatewayEndpoint
  readonly keys: MaskKeys
  readonly writer: FrameWriter
  readonly onGone: (socket: BunGatewaySocket) => void
}

/** Opens WebSockets on Bun. */
export class BunGatewayDialer implements GatewayDialer {
  readonly #shared: Shared
  readonly #sockets = new Set<BunGatewaySocket>()
  #onEmpty: (() => void) | undefined

  constructor(endpoint: GatewayEndpoint) {
    const keys = new MaskKeys()
    const writer = new FrameWriter(new FrameEncoder(endpoint.maxSentMessageBytes, selectEncodeFrames(), keys))
    this.#shared = { endpoint, keys, writer, onGone: (socket) => this.#forget(socket) }
  }

  dial(url: URL, headers: Readonly<Record<string, string>>, handler: GatewayHandler): GatewaySocket {
    const socket = new BunGatewaySocket(this.#shared, handler)
    this.#sockets.add(socket)
    socket.dial(url, headers)
    return socket
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.terminate()
    if (this.#sockets.size > 0) await new Promise<void>((resolve) => (this.#onEmpty = resolve))
  }

  #forget(socket: BunGatewaySocket): void {
    this.#sockets.delete(socket)
    if (this.#sockets.size === 0) this.#onEmpty?.()
  }
}

class BunGatewaySocket implements GatewaySocket, ConnectionHandler, FrameReaderHandler {
  readonly #shared: Shared
  #handler: GatewayHandler
  /** Gives up the dial; undefined once there is a connection. */
  #dial: AbortController | undefined
  #connection: Connection | undefined
  /** Reads the answer to the upgrade; undefined before and after. */
  #answer: UpgradeAnswerParser | undefined
  /** Reads frames; undefined before the answer has come. */
  #reader: FrameReader | undefined
  /** Whether the handler is told nothing any more. */
  #isLetGo = false
  #hasSentClose = false
  #closeDeadline: Deadline | undefined
  /** Whether too much waits to be sent. */
  #isFull = false
  /** The body of a ping whose pong has to wait for that. */
  #ping: Uint8Array | undefined

  constructor(shared: Shared, handler: GatewayHandler) {
    this.#shared = shared
    this.#handler = handler
  }

  /** Once. */
  dial(url: URL, headers: Readonly<Record<string, string>>): void {
    const { endpoint } = this.#shared
    this.#dial = new AbortController()
    connectToGateway(url, endpoint, endpoint, this.#dial.signal)
      .then((connection) => this.#onConnected(connection, url, headers))
      .catch((error: unknown) => this.#onDialFailed(error))
  }

  get queuedBytes(): number {
    return this.#connection?.queuedBytes ?? 0
  }

  handTo(handler: GatewayHandler): void {
    this.#handler = handler
  }

  send(payload: Uint8Array): boolean {
    if (this.#connection === undefined || !this.#canSend) return true
    this.#isFull = !this.#shared.writer.write(this.#connection, payload)
    return !this.#isFull
  }

  endSending(): void {
    if (this.#canSend) this.#connection?.write(encodeEndFrame(this.#shared.keys))
  }

  ping(): void {
    this.#sendControl('ping', NO_BODY)
  }

  pong(): void {
    this.#sendControl('pong', NO_BODY)
  }

  pauseReading(): void {
    this.#connection?.pauseReading()
  }

  resumeReading(): void {
    this.#connection?.resumeReading()
  }

  close(): void {
    if (this.#isLetGo) return
    if (!this.#canSend) {
      this.terminate()
      return
    }
    this.#isLetGo = true
    this.#sendClose(1000)
    // To the gateway's Close frame.
    this.#connection?.resumeReading()
  }

  terminate(): void {
    this.#isLetGo = true
    this.#dial?.abort()
    this.#connection?.reset()
  }

  // -- The upgrade ---------------------------------------------------------------------------------------------------------

  #onConnected(connection: Connection, url: URL, headers: Readonly<Record<string, string>>): void {
    this.#dial = undefined
    this.#connection = connection
    const key = createUpgradeKey()
    this.#answer = new UpgradeAnswerParser(key)
    connection.start(this)
    if (this.#isLetGo) {
      connection.reset()
      return
    }
    const request = encodeUpgradeRequest(url, headers, key)
    connection.write(request)
    request.fill(0)
  }

  #onDialFailed(error: unknown): void {
    this.#dial = undefined
    this.#shared.onGone(this)
    this.#fail(asUpstreamProxyError(error, 'gateway-unreachable', 'no connection'))
  }

  #readAnswer(parser: UpgradeAnswerParser, bytes: Uint8Array): void {
    const verdict = parser.push(bytes)
    switch (verdict.kind) {
      case 'incomplete':
        return
      case 'open':
        this.#onUpgraded(verdict.rest)
        return
      case 'refused':
        this.#fail(upgradeRefused(verdict.status, verdict.retryAfter))
        return
      case 'not-http':
        this.#fail(dialFailed(''))
        return
      case 'not-websocket':
        this.#fail(notWebSocket(verdict.detail))
        return
    }
  }

  #onUpgraded(rest: Uint8Array): void {
    this.#answer = undefined
    this.#reader = new FrameReader(this, this.#shared.endpoint.maxReceivedMessageBytes)
    if (!this.#isLetGo) this.#handler.gatewayOnOpen()
    if (rest.length > 0) this.#reader.push(rest)
  }

  // -- What the connection tells -------------------------------------------------------------------------------------------

  connectionOnData(bytes: Uint8Array): void {
    if (this.#reader !== undefined) this.#reader.push(bytes)
    else if (this.#answer !== undefined) this.#readAnswer(this.#answer, bytes)
  }

  connectionOnEnd(): void {
    this.#tellLoss()
    this.#connection?.close()
  }

  connectionOnDrain(): void {
    this.#isFull = false
    this.#answerPing()
    if (!this.#isLetGo) this.#handler.gatewayOnDrain()
  }

  connectionOnFinish(): void {}

  connectionOnClose(): void {
    this.#closeDeadline?.clear()
    this.#tellLoss()
    this.#shared.onGone(this)
  }

  #tellLoss(): void {
    if (this.#reader !== undefined) {
      this.#tellEnd(NO_CLOSE_FRAME)
      return
    }
    const verdict = this.#answer?.end()
    this.#fail(verdict?.kind === 'refused' ? upgradeRefused(verdict.status) : dialFailed('ECONNRESET'))
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

  // -- What the gateway sends ----------------------------------------------------------------------------------------------

  frameOnData(payload: Uint8Array): void {
    if (!this.#isLetGo) this.#handler.gatewayOnData(payload)
  }

  frameOnEnd(): void {
    if (!this.#isLetGo) this.#handler.gatewayOnEnd()
  }

  frameOnPing(body: Uint8Array): void {
    this.#ping = new Uint8Array(body)
    if (!this.#isFull) this.#answerPing()
  }

  frameOnPong(): void {
    if (!this.#isLetGo) this.#handler.gatewayOnPong()
  }

  frameOnClose(code: number): void {
    this.#sendClose(code)
    this.#tellEnd(code)
    this.#connection?.resumeReading()
    this.#connection?.endWriting()
  }

  frameOnFault(fault: FrameFault): void {
    this.#sendClose(fault.closeCode)
    this.#fail(faultReceived(fault))
  }

  // -- What is sent --------------------------------------------------------------------------------------------------------

  get #canSend(): boolean {
    return this.#reader !== undefined && !this.#hasSentClose
  }

  #answerPing(): void {
    if (this.#ping !== undefined) this.#sendControl('pong', this.#ping)
    this.#ping = undefined
  }

  #sendControl(kind: 'ping' | 'pong', body: Uint8Array): void {
    if (this.#canSend) this.#connection?.write(encodeControlFrame(kind, body, this.#shared.keys))
  }

  #sendClose(code: number): void {
    if (!this.#canSend) return
    this.#hasSentClose = true
    this.#connection?.write(encodeCloseFrame(code, this.#shared.keys))
    this.#closeDeadline = startDeadline(CLOSE_TIMEOUT_MS, () => this.#connection?.reset())
  }
}
