// Every stage of a connection at which the fuzz suite attacks, with how often each has its turn.

import type { Stage } from './attack.js'
import { http1Exchanges, http1Pipeline } from './http1-stages.js'
import { atPreface, http2Streams, http2WithoutTls } from './http2-stages.js'
import { atChunks, atClientHello, atConnect, atFrames, atUpgrade, intoSplice } from './wire-stages.js'

export const STAGES: readonly (readonly [name: string, weight: number, stage: Stage])[] = [
  ['upgrade', 10, atUpgrade],
  ['frames', 10, atFrames],
  ['chunks', 10, atChunks],
  ['CONNECT', 10, atConnect],
  ['ClientHello', 12, atClientHello],
  ['splice', 3, intoSplice],
  ['h1', 16, http1Exchanges],
  ['h1 pipeline', 5, http1Pipeline],
  ['h2 preface', 6, atPreface],
  ['h2', 12, http2Streams],
  ["origin's TLS", 2, http2WithoutTls],
]
