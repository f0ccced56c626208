/**
 * What the wire needs on either end: the relay and any gateway built on this package share it.
 * @module ccr-upstream-proxy/protocol
 */

export { type Authority, formatAuthority, parseAuthority } from './authority.js'
export {
  type Chunk,
  ChunkDecodeError,
  decodeChunk,
  END_CHUNK,
  encodeChunk,
  MAX_MESSAGE_BYTES,
  maxPayloadBytes,
  splitPayload,
} from './chunk.js'
export {
  type ConnectHead,
  ConnectHeadParser,
  DEFAULT_HEAD_LIMITS,
  encodeConnectHead,
  type HeadLimits,
  type HeadRefusal,
  type HeadVerdict,
} from './connect-head.js'
