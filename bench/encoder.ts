// What it costs to turn the bytes of one socket read into WebSocket frames, for the encoders of this package and for what
// a tunnel does without one: a message put together, and `ws`'s own masking in JavaScript, as `ws.send()` calls it.

import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import protobuf from 'protobufjs'
import { loadAddon } from '#src/addon.js'
import { chunkHeaderLength, MAX_MESSAGE_BYTES, splitPayload, writeChunkHeader } from '#src/protocol/chunk.js'
import { type EncodeFrames, encodeFramesInTypeScript, FrameEncoder, selectEncodeFrames } from '#src/protocol/frame.js'
import type { Benchmark, Goal, Options, Results, Row } from './benchmark.js'
import { rounded } from './figures.js'
import { type Contestants, interleave } from './interleave.js'

/** A payload of 64 KiB is three messages, the last of 8 bytes. */
const SIZES = { '64 B': 64, '1 KiB': 1_024, '16 KiB': 16_384, '64 KiB': 65_536 } as const
type Size = keyof typeof SIZES

const NATIVE = 'native'
const TYPESCRIPT = 'TypeScript'
const PROTOBUFJS = 'protobufjs + ws'
const CONCAT = 'Buffer.concat + ws'
const COPY = 'Buffer.copy'

export const encoder: Benchmark = { description: 'encode one socket read as WebSocket frames', run }

function run(options: Options): Results {
  const medians = new Map<Size, Record<string, number>>()
  for (const [size, length] of Object.entries(SIZES)) {
    medians.set(size as Size, interleave(createContestants(length), options))
  }
  const rows = Array.from(medians, ([size, figures]) => createRows(size, figures)).flat()
  return { rows, goals: createGoals(medians) }
}

function createContestants(length: number): Contestants {
  const payload = Buffer.alloc(length, 'payload')
  const target = Buffer.alloc(length)
  const { addon } = loadAddon()
  return {
    ...(addon && { [NATIVE]: encodeInPlace(selectEncodeFrames({ addon }), length) }),
    [TYPESCRIPT]: encodeInPlace(encodeFramesInTypeScript, length),
    [PROTOBUFJS]: () => sendPieces(payload, encodeByProtobufjs),
    [CONCAT]: () => sendPieces(payload, encodeByConcat),
    [COPY]: () => payload.copy(target),
  }
}

/** The payload is masked over and over, which costs the same as masking what was just read. */
function encodeInPlace(encodeFrames: EncodeFrames, length: number): () => void {
  const frames = new FrameEncoder(MAX_MESSAGE_BYTES, encodeFrames)
  const headroom = frames.headroomFor(length)
  const buffer = Buffer.alloc(headroom + length, 'payload')
  return () => frames.encode(buffer, headroom, length)
}

function sendPieces(payload: Buffer, encode: (piece: Uint8Array) => Uint8Array): void {
  for (const piece of splitPayload(payload, MAX_MESSAGE_BYTES)) frameByWs(encode(piece), FRAME_OPTIONS)
}

const { root } = protobuf.parse('syntax = "proto3"; message UpstreamProxyChunk { bytes data = 1; }')
const UpstreamProxyChunk = root.lookupType('UpstreamProxyChunk')

function encodeByProtobufjs(data: Uint8Array): Uint8Array {
  return UpstreamProxyChunk.encode({ data }).finish()
}

function encodeByConcat(piece: Uint8Array): Uint8Array {
  const header = Buffer.allocUnsafe(chunkHeaderLength(piece.length))
  writeChunkHeader(header, 0, piece.length)
  return Buffer.concat([header, piece])
}

/** What `ws` passes on for `send(Buffer)` of a client without compression. */
const FRAME_OPTIONS = { fin: true, mask: true, opcode: 2, readOnly: true, rsv1: false }

const frameByWs = loadSenderOfWs().frame

/** By its path, because Bun puts a module of its own in the place of `ws`; and without `bufferutil`, if that is there. */
function loadSenderOfWs(): { frame(data: Uint8Array, options: typeof FRAME_OPTIONS): Buffer[] } {
  process.env.WS_NO_BUFFER_UTIL = '1'
  const require = createRequire(import.meta.url)
  return require(join(dirname(require.resolve('ws/package.json')), 'lib/sender.js'))
}

function createRows(size: Size, medians: Record<string, number>): Row[] {
  return Object.entries(medians).map(([name, nanoseconds]) => ({
    payload: size,
    encoder: name,
    'ns/call': Math.round(nanoseconds),
    'MB/s': Math.round((SIZES[size] / nanoseconds) * 1_000),
    'time of Buffer.copy': rounded(nanoseconds / (medians[COPY] ?? Number.NaN)),
  }))
}

function createGoals(medians: ReadonlyMap<Size, Record<string, number>>): Goal[] {
  const timesFaster = (size: Size, one: string, other: string, atLeast: number): Goal => {
    const figures = medians.get(size) ?? {}
    const ratio = rounded((figures[other] ?? Number.NaN) / (figures[one] ?? Number.NaN))
    return { title: `${one} at ${size} is so many times as fast as ${other}`, ratio, atLeast }
  }
  const { [NATIVE]: native = Number.NaN, [COPY]: copy = Number.NaN } = medians.get('64 KiB') ?? {}
  return [
    ...(['16 KiB', '64 KiB'] as const).flatMap((size) => [
      timesFaster(size, NATIVE, CONCAT, 10),
      timesFaster(size, NATIVE, PROTOBUFJS, 12),
      timesFaster(size, TYPESCRIPT, CONCAT, 1.8),
    ]),
    {
      title: `${NATIVE} at 64 KiB takes so many times the time of ${COPY}`,
      ratio: rounded(native / copy),
      atMost: 2.5,
    },
  ]
}
