// From payload bytes to messages for the gateway: each is one chunk of at most the size asked for.

import { chunkHeaderLength, splitPayload, writeChunkHeader } from './chunk.js'

/** The messages that carry `payload`, in order; none for no bytes. Each is freshly allocated. */
export function* encodeMessages(payload: Uint8Array, maxMessageBytes: number): Generator<Uint8Array> {
  for (const piece of splitPayload(payload, maxMessageBytes)) {
    const headerLength = chunkHeaderLength(piece.length)
    const message = Buffer.allocUnsafe(headerLength + piece.length)
    writeChunkHeader(message, 0, piece.length)
    message.set(piece, headerLength)
    yield message
  }
}
