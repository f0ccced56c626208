// The end of a tunnel whose session has ended.

import { ChunkStreamError, CLOSE_POLICY_VIOLATION } from './chunk-stream.js'

/** Ends the tunnels of a session that has ended. */
export class SessionEndedError extends ChunkStreamError {
  constructor() {
    super('the session has ended', CLOSE_POLICY_VIOLATION)
  }
}
