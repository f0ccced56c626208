// An HTTP/2 origin of frames by hand, for what no server library would send.

import { type RawConnection, type RawOrigin, startOrigin } from '../support/origin.js'
import { encodeFrame, FLAG, FRAME, type Frame } from '../support/raw-http2.js'
import type { Scope } from '../support/temp-dir.js'

/** What it sends for a frame; settings are acknowledged without it. `connection` counts from 1. */
export type FrameAnswer = (frame: Frame, connection: number, raw: RawConnection) => readonly Buffer[]

const PREFACE_BYTES = 24

export function startFrameOrigin(scope: Scope, answer: FrameAnswer): Promise<RawOrigin> {
  let connections = 0
  const handler = (connection: RawConnection) => {
    connections++
    void answerFrames(connection, connections, answer)
  }
  return startOrigin(scope, { protocol: 'raw', handler, tls: { ALPNProtocols: ['h2'] } })
}

async function answerFrames(connection: RawConnection, number: number, answer: FrameAnswer): Promise<void> {
  connection.write(encodeFrame(FRAME.settings, 0, 0))
  try {
    await connection.take(PREFACE_BYTES)
    for (;;) {
      const head = await connection.take(9)
      const payload = await connection.take(head.readUIntBE(0, 3))
      const [type = 0, flags = 0] = head.subarray(3, 5)
      if (type === FRAME.settings && (flags & FLAG.ack) === 0)
        connection.write(encodeFrame(FRAME.settings, FLAG.ack, 0))
      const frame = { type, flags, streamId: head.readUInt32BE(5), payload }
      for (const bytes of answer(frame, number, connection)) connection.write(bytes)
    }
  } catch {
    // The connection has ended.
  }
}
