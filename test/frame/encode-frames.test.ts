// Frames as literal bytes, from every implementation. The key is that of RFC 6455's examples (section 5.7).

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { loadAddon } from '#src/addon.js'
import { chunkHeaderLength } from '#src/protocol/chunk.js'
import { FrameEncoder, headroomFor, selectEncodeFrames } from '#src/protocol/frame.js'
import { MaskKeys } from '#src/protocol/mask-keys.js'
import { encode, implementations, payloadOf, readFrames } from './implementations.js'

const KEY = Buffer.from('37fa213d', 'hex')
const LARGE = 0x7fff_ffff

const WHOLE_FRAMES: readonly (readonly [payload: string, frame: string])[] = [
  ['A', '82 83 37fa213d 3dfb 60'],
  ['AB', '82 84 37fa213d 3df8 607f'],
  ['ABC', '82 85 37fa213d 3df9 607f74'],
  ['ABCD', '82 86 37fa213d 3dfe 607f74be'],
  ['Hello', '82 87 37fa213d 3dff 69585b964e'],
  ['ABCDEFG', '82 89 37fa213d 3dfd 607f74be647b70'],
  ['ABCDEFGH', '82 8a 37fa213d 3df2 607f74be647b70b2'],
]

/** Up to the payload; the lengths are around 125, 126 and 127, 2^14, 2^15, 2^16 and 2^21, of payloads and messages. */
const HEADERS: readonly (readonly [payloadLength: number, header: string])[] = [
  [122, '82 fc 37fa213d 3d80'],
  [123, '82 fd 37fa213d 3d81'],
  [124, '82 fe007e 37fa213d 3d86'],
  [125, '82 fe007f 37fa213d 3d87'],
  [126, '82 fe0080 37fa213d 3d84'],
  [127, '82 fe0081 37fa213d 3d85'],
  [128, '82 fe0083 37fa213d 3d7a20'],
  [129, '82 fe0084 37fa213d 3d7b20'],
  [16_383, '82 fe4002 37fa213d 3d055e'],
  [16_384, '82 fe4004 37fa213d 3d7aa13c'],
  [32_763, '82 fe7fff 37fa213d 3d01de3c'],
  [32_764, '82 fe8000 37fa213d 3d06de3c'],
  [32_765, '82 fe8001 37fa213d 3d07de3c'],
  [65_530, '82 fefffe 37fa213d 3d00de3e'],
  [65_531, '82 feffff 37fa213d 3d01de3e'],
  [65_532, '82 ff0000000000010000 37fa213d 3d06de3e'],
  [65_535, '82 ff0000000000010003 37fa213d 3d05de3e'],
  [65_536, '82 ff0000000000010004 37fa213d 3d7aa139'],
  [2_097_151, '82 ff0000000000200003 37fa213d 3d05de42'],
  [2_097_152, '82 ff0000000000200005 37fa213d 3d7aa1bd36'],
]

const withoutSpaces = (text: string) => text.replaceAll(' ', '')

for (const [name, encodeFrames] of implementations) {
  describe(`frames, ${name}`, () => {
    for (const [payload, frame] of WHOLE_FRAMES) {
      test(`${payload} is ${frame}`, () => {
        for (const shift of [0, 1, 2, 3]) {
          const { frames, untouched } = encode(encodeFrames, Buffer.from(payload), KEY, LARGE, shift)
          assert.equal(frames.toString('hex'), withoutSpaces(frame))
          assert.ok(untouched)
        }
      })
    }

    for (const [length, header] of HEADERS) {
      test(`a payload of ${length} bytes stands behind ${header}`, () => {
        const payload = payloadOf(length)
        const { frames, untouched } = encode(encodeFrames, payload, KEY, LARGE, 1)
        assert.equal(frames.toString('hex', 0, frames.length - length), withoutSpaces(header))
        const [frame] = readFrames(frames)
        assert.ok(frame?.message.subarray(-length).equals(payload))
        assert.ok(untouched)
      })
    }

    test('masks every length at every alignment', () => {
      for (let length = 1; length < 300; length++) {
        const payload = payloadOf(length)
        for (const shift of [0, 1, 2, 3, 4, 5, 6, 7]) {
          const { frames, untouched } = encode(encodeFrames, payload, KEY, LARGE, shift)
          assert.ok(readFrames(frames)[0]?.message.subarray(-length).equals(payload), `${length} bytes, ${shift} off`)
          assert.ok(untouched)
        }
      }
    })

    test('cuts what does not fit one message, in order, each piece with a key of its own', () => {
      const keys = Buffer.from('37fa213d 01020304 a0b0c0d0'.replaceAll(' ', ''), 'hex')
      const payload = payloadOf(65_536)
      const { frames, untouched } = encode(encodeFrames, payload, keys, 32_768)
      assert.equal(frames.toString('hex', 0, 12), '82fe800037fa213d3d06de3c')
      assert.equal(frames.toString('hex', 32_776, 32_788), '82fe8000010203040bfefc05')
      assert.equal(frames.toString('hex', 65_552, 65_560), '828aa0b0c0d0aab8')
      const messages = readFrames(frames).map(({ message }) => message)
      assert.deepEqual(
        messages.map(({ length }) => length),
        [32_768, 32_768, 10],
      )
      const pieces = [messages[0]?.subarray(4), messages[1]?.subarray(4), messages[2]?.subarray(2)]
      assert.ok(Buffer.concat(pieces.map((piece) => piece ?? Buffer.alloc(0))).equals(payload))
      assert.ok(untouched)
    })

    test('keeps every message within the limit, however small that is', () => {
      for (const maxMessageBytes of [3, 4, 5, 127, 128, 129, 130, 131, 132, 16_385, 16_386, 16_387, 16_388]) {
        const payload = payloadOf(maxMessageBytes * 3 + 1)
        const keys = Buffer.alloc(4 * payload.length, KEY)
        const { frames, untouched } = encode(encodeFrames, payload, keys, maxMessageBytes, maxMessageBytes)
        const messages = readFrames(frames).map(({ message }) => message)
        assert.ok(messages.every(({ length }) => length <= maxMessageBytes))
        const pieces = messages.map((message) => message.subarray(headerLengthOf(message)))
        assert.ok(Buffer.concat(pieces).equals(payload))
        assert.ok(untouched)
      }
    })

    test('needs exactly the room that it was promised', () => {
      for (const length of [1, 123, 124, 127, 128, 32_764, 32_765, 65_528, 65_529, 200_000]) {
        const headroom = headroomFor(length, 32_768)
        const keys = Buffer.alloc(32, KEY)
        assert.equal(encodeFrames(new Uint8Array(headroom + length), headroom, length, 32_768, keys, 0), headroom)
        const shorter = new Uint8Array(headroom + length - 1)
        assert.throws(() => encodeFrames(shorter, headroom - 1, length, 32_768, keys, 0), RangeError)
        assert.throws(() => encodeFrames(shorter, headroom, length, 32_768, keys, 0), RangeError)
        assert.ok(shorter.every((byte) => byte === 0))
      }
    })

    test('takes the last keys of an array, and none behind them', () => {
      const buffer = new Uint8Array(300)
      const keys = Buffer.from('ffffffff37fa213d', 'hex')
      assert.equal(encodeFrames(buffer, 100, 200, 32_768, keys, 4), 11)
      assert.equal(Buffer.from(buffer).toString('hex', 93, 97), '37fa213d')
      const before = buffer.slice()
      assert.throws(() => encodeFrames(buffer, 100, 200, 32_768, keys, 5), RangeError)
      assert.throws(() => encodeFrames(buffer, 100, 200, 150, keys, 4), RangeError)
      assert.deepEqual(buffer, before)
    })

    test('makes nothing of no payload', () => {
      const buffer = new Uint8Array(8)
      assert.equal(encodeFrames(buffer, 8, 0, 32_768, new Uint8Array(0), 0), 0)
      assert.equal(encodeFrames(new Uint8Array(0), 0, 0, 32_768, new Uint8Array(0), 0), 0)
      assert.deepEqual(buffer, new Uint8Array(8))
    })

    test('refuses numbers that are no lengths or offsets', () => {
      const buffer = new Uint8Array(200)
      const valid = [100, 100, 32_768, 0]
      for (const [index] of valid.entries()) {
        for (const number of [-1, 0.5, 100.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, 2 ** 32]) {
          const [offset, length, maxMessageBytes, keyOffset] = valid.with(index, number) as [
            number,
            number,
            number,
            number,
          ]
          assert.throws(() => encodeFrames(buffer, offset, length, maxMessageBytes, KEY, keyOffset), RangeError)
        }
      }
      for (const maxMessageBytes of [0, 1, 2]) {
        assert.throws(() => encodeFrames(buffer, 100, 100, maxMessageBytes, KEY, 0), RangeError)
      }
      assert.ok(buffer.every((byte) => byte === 0))
    })

    test('encodes within a view of larger memory', () => {
      const memory = new Uint8Array(64)
      const view = memory.subarray(3, 24)
      assert.equal(encodeFrames(view, 16, 5, LARGE, KEY, 0), 8)
      assert.equal(
        Buffer.from(memory).toString('hex'),
        `${'00'.repeat(11)}828737fa213d3dff213d37fa21${'00'.repeat(40)}`,
      )
    })
  })
}

/** Of a message whose payload's length is in its varint. */
function headerLengthOf(message: Buffer): number {
  const [length] = [2, 3, 4].filter((headerLength) => chunkHeaderLength(message.length - headerLength) === headerLength)
  return length ?? Number.NaN
}

describe('frame encoder', () => {
  test('needs no less room for a longer payload', () => {
    for (const maxMessageBytes of [3, 130, 32_768]) {
      for (let length = 1, before = 0; length < 70_000; length++) {
        const headroom = headroomFor(length, maxMessageBytes)
        assert.ok(headroom >= before)
        before = headroom
      }
    }
  })

  test('takes one key a message', () => {
    const fill = (bytes: Uint8Array) =>
      bytes.forEach((_, index) => {
        bytes[index] = (index >> 2) + 1
      })
    const encoder = new FrameEncoder(130, undefined, new MaskKeys(fill))
    const keysOf = (payloadLength: number) => {
      const buffer = Buffer.alloc(1000)
      const start = 300 - encoder.encode(buffer, 300, payloadLength)
      const keys: string[] = []
      for (let at = start; at < 300 + payloadLength; ) {
        const [length, keyAt] =
          buffer[at + 1] === 0xfe ? [buffer.readUInt16BE(at + 2), at + 4] : [(buffer[at + 1] ?? 0) & 0x7f, at + 2]
        keys.push(buffer.toString('hex', keyAt, keyAt + 4))
        at = keyAt + 4 + length
      }
      return keys
    }
    assert.deepEqual(keysOf(1), ['01010101'])
    assert.deepEqual(keysOf(0), [])
    assert.deepEqual(keysOf(300), ['02020202', '03030303', '04040404'])
  })

  test('refuses a message size without room for a payload', () => {
    assert.throws(() => new FrameEncoder(2), RangeError)
  })

  test('does without the addon', () => {
    const frames = encode(
      selectEncodeFrames({ error: 'not-found', cause: undefined }),
      Buffer.from('Hello'),
      KEY,
      LARGE,
    ).frames
    assert.equal(frames.toString('hex'), '828737fa213d3dff69585b964e')
  })

  test('throws a TypeError from the addon for arguments of a wrong type', () => {
    const encodeFrames = loadAddon().addon?.encodeFrames as (...args: unknown[]) => unknown
    const valid: unknown[] = [new Uint8Array(200), 100, 100, 32_768, KEY, 0]
    for (const wrong of [undefined, null, '1', {}, new Uint16Array(100), new DataView(new ArrayBuffer(200)), 1n]) {
      for (const [index] of valid.entries()) assert.throws(() => encodeFrames(...valid.with(index, wrong)), TypeError)
    }
    for (let count = 0; count < valid.length; count++)
      assert.throws(() => encodeFrames(...valid.slice(0, count)), TypeError)
  })

  test('leaves memory alone that was given away', () => {
    const buffer = new Uint8Array(200)
    structuredClone(buffer.buffer, { transfer: [buffer.buffer] })
    for (const [, encodeFrames] of implementations) {
      assert.throws(() => encodeFrames(buffer, 100, 100, 32_768, KEY, 0), RangeError)
    }
  })
})
