// A WebSocket to a gateway that is not there: the test says what comes of it, through `handler`.

import type { GatewayHandler, GatewaySocket } from '#src/runtime/runtime.js'

export class FakeGatewaySocket implements GatewaySocket {
  readonly queuedBytes = 0
  readonly sent: Uint8Array[] = []
  handler: GatewayHandler
  pings = 0
  isLetGo = false

  constructor(handler: GatewayHandler) {
    this.handler = handler
  }

  handTo(handler: GatewayHandler): void {
    this.handler = handler
  }

  send(bytes: Uint8Array): boolean {
    this.sent.push(new Uint8Array(bytes))
    return true
  }

  endSending(): void {}

  ping(): void {
    this.pings++
  }

  close(): void {
    this.isLetGo = true
  }

  terminate(): void {
    this.isLetGo = true
  }

  pong(): void {}
  pauseReading(): void {}
  resumeReading(): void {}
}
