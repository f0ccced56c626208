// The reading half of the WebSocket against literal bytes, in every way in which they may be cut, and against ws' own receiver
// with protobufjs behind it.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import protobuf from 'protobufjs'
import * as ws from 'ws'
import { FrameReader } from '#src/protocol/frame-reader.js'

const IS_LARGE = process.env.CCR_TEST_LARGE === '1'
const LIMIT = 70_000

/** Bytes in hex; white space is for the eye. */
function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(/\s/g, ''), 'hex')
}

/** What was told: the payload in one run up to whatever else came. */
type Told = readonly (string | number)[][]

/** What a reader tells of `pieces`; the payload in hex, and how many calls it took. */
function read(pieces: readonly Uint8Array[], limit = LIMIT): { told: Told; calls: number; payload: string } {
  const told: (string | number)[][] = []
  let payload = ''
  let calls = 0
  const reader = new FrameReader(
    {
      frameOnData(bytes) {
        assert.ok(bytes.length > 0)
        calls++
        payload += Buffer.from(bytes).toString('hex')
      },
      frameOnEnd: () => told.push(['end', payload]),
      frameOnPing: (body) => told.push(['ping', Buffer.from(body).toString('hex')]),
      frameOnPong: () => told.push(['pong']),
      frameOnClose: (code) => told.push(['close', code, payload]),
      frameOnFault: ({ closeCode, detail }) => told.push(['fault', closeCode, detail, payload]),
    },
    limit,
  )
  for (const piece of pieces) {
    const pushed = Buffer.from(piece)
    reader.push(pushed)
    // It is the reader's no longer.
    pushed.fill(0xee)
  }
  return { told, calls, payload }
}

/** Every way to cut `bytes` in two, one byte at a time, and whole. */
function* cuts(bytes: Buffer): Generator<Buffer[]> {
  yield [bytes]
  yield Array.from(bytes, (_, at) => bytes.subarray(at, at + 1))
  for (let at = 1; at < bytes.length; at++) yield [bytes.subarray(0, at), bytes.subarray(at)]
}

const LARGE_PAYLOAD = Buffer.from(Array.from({ length: 66_000 }, (_, index) => (index * 37 + 11) & 0xff))
/** 66,000 bytes in one chunk and one frame with a length of 64 bits. */
const LARGE_FRAME = Buffer.concat([hex('82 7f 00000000000101d4 0ad08304'), LARGE_PAYLOAD])

const PAYLOADS: ReadonlyArray<readonly [title: string, bytes: string, payload: string]> = [
  ['nothing', '', ''],
  ['one byte', '82 03 0a0141', '41'],
  ['two messages', '82 03 0a0141 82 04 0a024243', '414243'],
  ['a message of 126 bytes, with a length of 16 bits', `82 7e 007e 0a7c ${'41'.repeat(124)}`, '41'.repeat(124)],
  ['a length that is longer than it has to be', '82 7f 0000000000000003 0a0141', '41'],
  ['an empty message', '82 00 82 03 0a0141', '41'],
  ['an empty chunk', '82 02 0a00 82 03 0a0141', '41'],
  ['two chunks in a message', '82 06 0a0141 0a0142', '4142'],
  ['an unknown field behind', '82 05 0a0141 1801', '41'],
  ['an unknown field before', '82 05 1801 0a0141', '41'],
  ['unknown fields between two chunks', '82 0a 0a0141 1801 1200 0a0142', '4142'],
  ['a length of five bytes in the chunk', '82 07 0a 8180808000 41', '41'],
  ['a fragmented message', '02 01 0a 00 01 01 80 01 41', '41'],
  ['empty fragments', '02 00 00 00 00 03 0a0141 80 00', '41'],
  ['a fragmented message between others', '82 03 0a0140 02 02 0a01 80 01 41 82 03 0a0142', '404142'],
  ['an unsolicited pong between', '82 03 0a0141 8a 00 82 03 0a0142', '4142'],
]

const ENDS: ReadonlyArray<readonly [title: string, bytes: string, code: number]> = [
  ['without a code', '88 00', 1005],
  ['with 1000', '88 02 03e8', 1000],
  ['with a reason', '88 05 03e9 c3a921', 1001],
  ['with 1014', '88 02 03f6', 1014],
  ['with 3000', '88 02 0bb8', 3000],
  ['with 4999', '88 02 1387', 4999],
]

const FAULTS: ReadonlyArray<readonly [bytes: string, closeCode: number, detail: string]> = [
  ['c2 03 0a0141', 1002, 'a frame with a reserved bit'],
  ['a2 03 0a0141', 1002, 'a frame with a reserved bit'],
  ['92 03 0a0141', 1002, 'a frame with a reserved bit'],
  ['82 83 00000000 0a0141', 1002, 'a masked frame'],
  ['83 00', 1002, 'a frame with an unknown opcode'],
  ['8b 00', 1002, 'a frame with an unknown opcode'],
  ['80 03 0a0141', 1002, 'a continuation of nothing'],
  ['02 01 0a 82 03 0a0141', 1002, 'a message inside another'],
  ['02 01 0a 01 01 41', 1002, 'a message inside another'],
  ['09 00', 1002, 'a fragmented control frame'],
  ['08 00', 1002, 'a fragmented control frame'],
  [`89 7e 007e ${'00'.repeat(126)}`, 1002, 'a control frame that is too long'],
  ['88 01 03', 1002, 'a Close frame without a valid code'],
  ...['0000', '03e7', '03ec', '03ed', '03ee', '03f7', '0bb7', '1388', 'ffff'].map(
    (code) => [`88 02 ${code}`, 1002, 'a Close frame without a valid code'] as const,
  ),
  ['88 04 03e8 c328', 1007, 'a Close frame whose reason is not UTF-8'],
  ['81 02 6869', 1003, 'text'],
  ['01 02 6869', 1003, 'text'],
  ['82 7e 1195', 1009, 'a message that is too long'],
  ['82 7f 8000000000000000', 1009, 'a message that is too long'],
  ['82 7f ffffffffffffffff', 1009, 'a message that is too long'],
  ['02 03 0a0141 80 7e 1192', 1009, 'a message that is too long'],
  ['82 01 0a', 1007, 'a chunk that does not parse: a varint is cut off'],
  ['82 03 0a0541', 1007, 'a chunk that does not parse: a field is cut off'],
  ['82 04 0a014142', 1007, 'a chunk that does not parse: a varint is cut off'],
  ['02 02 0a05 80 01 41', 1007, 'a chunk that does not parse: a field is cut off'],
]

describe('a reader of frames', () => {
  for (const [title, bytes, payload] of PAYLOADS) {
    test(`tells ${title}, however it is cut`, () => {
      for (const pieces of cuts(hex(bytes))) {
        const seen = read(pieces)
        assert.equal(seen.payload, payload)
        assert.deepEqual(
          seen.told.filter(([what]) => what !== 'pong'),
          [],
        )
      }
    })
  }

  for (const [title, bytes, code] of ENDS) {
    test(`ends with a Close frame ${title}, and looks at nothing behind it`, () => {
      for (const pieces of cuts(hex(`82 03 0a0141 ${bytes} ff ff 82 03 0a0142`))) {
        assert.deepEqual(read(pieces).told, [['close', code, '41']])
      }
    })
  }

  for (const [bytes, closeCode, detail] of FAULTS) {
    test(`refuses ${bytes.slice(0, 40)}: ${detail}`, () => {
      const limit = 4_500
      for (const pieces of cuts(hex(`82 03 0a0141 ${bytes} 82 03 0a0142 88 00`))) {
        assert.deepEqual(read(pieces, limit).told, [['fault', closeCode, detail, '41']])
      }
    })
  }

  test('tells an end once, after the payload before it, and still what is no data', () => {
    for (const end of ['82 02 1001', '02 01 10 80 01 01', '82 05 1001 0a0141', '82 05 0a0141 1001']) {
      const payload = end.includes('41') ? '4041' : '40'
      for (const pieces of cuts(hex(`82 03 0a0140 ${end} 8a 00 88 02 03e8`)))
        assert.deepEqual(read(pieces).told, [['end', payload], ['pong'], ['close', 1000, payload]])
    }
  })

  test('takes a message after an end for a fault, also an empty one and a fragment', () => {
    for (const message of ['82 03 0a0141', '82 00', '02 01 0a', '82 02 1001'])
      for (const pieces of cuts(hex(`82 02 1001 ${message}`)))
        assert.deepEqual(read(pieces).told, [
          ['end', ''],
          ['fault', 1002, 'a message after its end', ''],
        ])
  })

  test('takes a message that is as long as the limit, and none that is longer by one', () => {
    assert.equal(read([LARGE_FRAME], 66_004).payload, LARGE_PAYLOAD.toString('hex'))
    assert.deepEqual(read([LARGE_FRAME], 66_003).told, [['fault', 1009, 'a message that is too long', '']])
  })

  test('tells the payload of a large message while it arrives, in the memory that it arrived in', () => {
    const pieces = Array.from({ length: 5 }, (_, index) => LARGE_FRAME.subarray(index * 16_384, (index + 1) * 16_384))
    const told: Uint8Array[] = []
    const ignore = (): void => {}
    const reader = new FrameReader(
      {
        frameOnData: (bytes) => told.push(bytes),
        frameOnEnd: ignore,
        frameOnPing: ignore,
        frameOnPong: ignore,
        frameOnClose: ignore,
        frameOnFault: ignore,
      },
      LIMIT,
    )
    for (const [index, piece] of pieces.entries()) {
      reader.push(piece)
      assert.equal(told.length, index + 1)
      assert.equal(told[index]?.buffer, LARGE_FRAME.buffer)
    }
    assert.ok(Buffer.concat(told).equals(LARGE_PAYLOAD))
  })

  for (const [title, lengths] of [
    ['of one byte', Array.from({ length: 1_000 }, () => 1)],
    ['of a KiB', Array.from({ length: 60 }, () => 1_024)],
    ['of growing length', Array.from({ length: 300 }, (_, index) => index + 1)],
    ['of shrinking length', Array.from({ length: 300 }, (_, index) => 300 - index)],
    ['long and short', [5_000, 1, 5_000, 2, 3, 10_000, 1]],
  ] as const) {
    test(`tells messages ${title} that came in one read in one piece`, () => {
      const payloads = lengths.map((length, index) => LARGE_PAYLOAD.subarray(index, index + length))
      const seen = read([Buffer.concat(payloads.map((payload) => frameOf(0x82, encodeByProtobufjs(payload))))])
      assert.equal(seen.payload, Buffer.concat(payloads).toString('hex'))
      assert.equal(seen.calls, 1)
    })
  }

  test('tells the last ping of a read, with its body, behind the payload that moved over it', () => {
    const bytes = hex('82 03 0a0141 89 01 01 89 02 0203 82 08 0a06 424344454647')
    assert.deepEqual(read([bytes]), { told: [['ping', '0203']], calls: 1, payload: '41424344454647' })
  })

  test('tells every pong, and a ping inside a fragmented message', () => {
    const bytes = hex('02 01 0a 8a 00 89 00 00 01 01 8a 01 00 80 01 41')
    assert.deepEqual(read([bytes]), { told: [['pong'], ['pong'], ['ping', '']], calls: 1, payload: '41' })
  })

  test('tells no ping that a Close frame follows', () => {
    assert.deepEqual(read([hex('89 00 88 00')]).told, [['close', 1005, '']])
  })

  test('takes no memory for a message that is only announced', () => {
    const before = process.memoryUsage().arrayBuffers
    const limit = 512 * 1_048_576
    const ignore = (): void => {}
    const readers = Array.from({ length: 100 }, () => {
      const reader = new FrameReader(
        {
          frameOnData: ignore,
          frameOnEnd: ignore,
          frameOnPing: ignore,
          frameOnPong: ignore,
          frameOnClose: ignore,
          frameOnFault: () => assert.fail(),
        },
        limit,
      )
      // A message with an unknown field in front, which is put together.
      reader.push(hex('82 7f 000000001fffffff 1801'))
      return reader
    })
    assert.equal(readers.length, 100)
    assert.ok(process.memoryUsage().arrayBuffers - before < 1_048_576)
  })
})

// -- The judges ------------------------------------------------------------------------------------------------------------

const Chunk = protobuf.Root.fromJSON({
  nested: { UpstreamProxyChunk: { fields: { data: { type: 'bytes', id: 1 } } } },
}).lookupType('UpstreamProxyChunk')

function encodeByProtobufjs(data: Uint8Array): Buffer {
  return Buffer.from(Chunk.encode({ data }).finish())
}

/** All data fields of a message in order; throws for what is no message. */
function readByProtobufjs(message: Uint8Array): Buffer {
  Chunk.decode(message)
  const reader = protobuf.Reader.create(message)
  const pieces: Uint8Array[] = []
  while (reader.pos < reader.len) {
    const tag = reader.uint32()
    if (tag === 0x0a) pieces.push(reader.bytes())
    else reader.skipType(tag & 7, 0, tag >>> 3)
  }
  return Buffer.concat(pieces)
}

/** A frame with its length in the shortest form. */
function frameOf(first: number, payload: Uint8Array): Buffer {
  const { length } = payload
  const header = Buffer.alloc(length < 126 ? 2 : length < 65_536 ? 4 : 10)
  header[0] = first
  header[1] = header.length === 2 ? length : header.length === 4 ? 126 : 127
  if (header.length === 4) header.writeUInt16BE(length, 2)
  if (header.length === 10) header.writeBigUInt64BE(BigInt(length), 2)
  return Buffer.concat([header, payload])
}

/** How a stream ended, or that it did not. */
type End = { readonly closeCode: number } | { readonly fault: number } | 'open'

/** What is used of ws' receiver, which has no types. */
interface WsReceiver {
  on(event: 'message', listener: (data: Buffer, isBinary: boolean) => void): WsReceiver
  on(event: 'conclude', listener: (code: number) => void): WsReceiver
  on(event: 'error', listener: (error: Error & { code: string }) => void): WsReceiver
  once(event: 'close', listener: () => void): WsReceiver
  end(bytes: Uint8Array): void
}

const { Receiver } = ws as unknown as { Receiver: new (options: object) => WsReceiver }

async function readByWs(bytes: Uint8Array, limit: number): Promise<{ payload: string; end: End }> {
  const payloads: Buffer[] = []
  let end: End = 'open'
  const receiver = new Receiver({ maxPayload: limit })
  await new Promise<void>((resolve) => {
    receiver
      .on('message', (message, isBinary) => {
        if (end !== 'open') return
        if (!isBinary) {
          end = { fault: 1003 }
          return
        }
        try {
          payloads.push(readByProtobufjs(message))
        } catch {
          end = { fault: 1007 }
        }
      })
      .on('conclude', (closeCode) => {
        if (end === 'open') end = { closeCode }
      })
      .on('error', ({ code }) => {
        if (end === 'open') end = { fault: closeCodeOf(code) }
      })
      .once('close', resolve)
    receiver.end(bytes)
  })
  return { payload: Buffer.concat(payloads).toString('hex'), end }
}

function closeCodeOf(code: string): number {
  if (code === 'WS_ERR_INVALID_UTF8') return 1007
  return code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH' || code === 'WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH' ? 1009 : 1002
}

const FUZZ_LIMIT = 400

const payload = fc.uint8Array({ maxLength: 300 })
const messageBody = fc.oneof(
  { weight: 6, arbitrary: payload.map(encodeByProtobufjs) },
  { weight: 1, arbitrary: fc.tuple(payload, payload).map((pair) => Buffer.concat(pair.map(encodeByProtobufjs))) },
  { weight: 1, arbitrary: payload.map((bytes) => Buffer.concat([hex('1801'), encodeByProtobufjs(bytes)])) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 6 }).map((bytes) => Buffer.from(bytes)) },
)
const controlFrame = fc
  .tuple(fc.constantFrom(0x89, 0x8a), fc.uint8Array({ maxLength: 125 }))
  .map(([first, body]) => frameOf(first, body))
const fragmentedMessage = fc
  .tuple(messageBody, fc.array(fc.nat(300), { maxLength: 3 }), fc.option(controlFrame))
  .map(([body, places, between]) => {
    const ends = [...places.map((place) => Math.min(place, body.length)).sort((one, other) => one - other), body.length]
    const frames = ends.map((end, index) => {
      const first = (index === 0 ? 0x02 : 0x00) | (index === ends.length - 1 ? 0x80 : 0)
      return frameOf(first, body.subarray(ends[index - 1] ?? 0, end))
    })
    return Buffer.concat(between === null ? frames : [...frames.slice(0, 1), between, ...frames.slice(1)])
  })
const closeFrame = fc
  .tuple(fc.constantFrom(hex(''), hex('03'), hex('03e8'), hex('03ed'), hex('0fa0'), hex('03e8c328'), hex('03e8c3a9')))
  .map(([body]) => frameOf(0x88, body))
const brokenFrame = fc
  .tuple(fc.integer({ min: 0, max: 255 }), fc.uint8Array({ maxLength: 12 }))
  .map(([first, bytes]) => Buffer.from([first, ...bytes]))
const element = fc.oneof(
  { weight: 10, arbitrary: messageBody.map((body) => frameOf(0x82, body)) },
  { weight: 4, arbitrary: fragmentedMessage },
  { weight: 3, arbitrary: controlFrame },
  { weight: 1, arbitrary: closeFrame },
  { weight: 1, arbitrary: brokenFrame },
)
const stream = fc.tuple(
  fc.array(element, { maxLength: 12 }).map((elements) => Buffer.concat(elements)),
  fc.array(fc.nat(3_000), { maxLength: 12 }),
)

function cutAt(bytes: Buffer, places: readonly number[]): Buffer[] {
  const ends = [...new Set(places)]
    .filter((place) => place > 0 && place < bytes.length)
    .sort((one, other) => one - other)
  return [...ends, bytes.length].map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end))
}

function endOf(told: Told): End {
  const last = told.at(-1)
  if (last?.[0] === 'close') return { closeCode: last[1] as number }
  return last?.[0] === 'fault' ? { fault: last[1] as number } : 'open'
}

test('a reader of frames agrees with ws and protobufjs on every stream, however it is cut', async () => {
  await fc.assert(
    fc.asyncProperty(stream, async ([bytes, places]) => {
      const judged = await readByWs(Buffer.from(bytes), FUZZ_LIMIT)
      const { told, payload } = read(cutAt(bytes, places), FUZZ_LIMIT)
      const end = endOf(told)
      // What may follow an end is in a test of its own.
      if (told.some(([what]) => what === 'end')) return
      // Text is refused at its first frame, which ws has to read to its end.
      if (typeof end === 'object' && 'fault' in end && end.fault === 1003) return
      assert.deepEqual(end, judged.end)
      // A message of which the rest is missing is told as far as it came.
      if (end === 'open') assert.ok(payload.startsWith(judged.payload))
      else assert.equal(payload, judged.payload)
    }),
    { numRuns: IS_LARGE ? 200_000 : 5_000 },
  )
})
