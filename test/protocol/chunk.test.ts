// The chunk codec against literal bytes and against protobufjs, both ways.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import protobuf from 'protobufjs'
import {
  ChunkDecodeError,
  chunkHeaderLength,
  decodeChunk,
  END_CHUNK,
  encodeChunk,
  MAX_MESSAGE_BYTES,
  maxPayloadBytes,
  splitPayload,
  writeChunkHeader,
} from '#src/protocol/chunk.js'

const IS_LARGE = process.env.CCR_TEST_LARGE === '1'

const Chunk = protobuf.Root.fromJSON({
  nested: { UpstreamProxyChunk: { fields: { data: { type: 'bytes', id: 1 }, end: { type: 'bool', id: 2 } } } },
}).lookupType('UpstreamProxyChunk')

/** Bytes in hex; white space is for the eye. */
function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(/\s/g, ''), 'hex')
}

function payloadOf(length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, index) => (index * 37 + 11) & 0xff))
}

/** All data fields of a message in order, by protobufjs' own reader; its generated decoder keeps only the last. */
function readByProtobufjs(message: Uint8Array): Buffer {
  Chunk.decode(message) // throws for whatever is no message of this type
  const reader = protobuf.Reader.create(message)
  const pieces: Uint8Array[] = []
  while (reader.pos < reader.len) {
    const tag = reader.uint32()
    if (tag === 0x0a) pieces.push(reader.bytes())
    else reader.skipType(tag & 7, 0, tag >>> 3)
  }
  return Buffer.concat(pieces)
}

const LENGTHS_AT_EDGES = [0, 1, 126, 127, 128, 129, 16_382, 16_383, 16_384, 16_385, 32_763, 32_764, 32_765]

const HEADERS: ReadonlyArray<readonly [length: number, header: string]> = [
  [0, '0a 00'],
  [1, '0a 01'],
  [127, '0a 7f'],
  [128, '0a 8001'],
  [16_383, '0a ff7f'],
  [16_384, '0a 808001'],
  [32_764, '0a fcff01'],
  [32_765, '0a fdff01'],
  [2_097_151, '0a ffff7f'],
  [2_097_152, '0a 80808001'],
  [4_294_967_295, '0a ffffffff0f'],
]

describe('chunk encoding', () => {
  for (const [length, header] of HEADERS) {
    test(`the header of ${length} bytes is ${header}`, () => {
      const target = Buffer.alloc(12, 0xee)
      const written = writeChunkHeader(target, 3, length)
      assert.equal(written, chunkHeaderLength(length))
      assert.equal(target.subarray(0, 3 + written + 1).toString('hex'), `eeeeee${hex(header).toString('hex')}ee`)
    })
  }

  for (const length of LENGTHS_AT_EDGES) {
    test(`a chunk of ${length} bytes is what protobufjs writes and reads`, () => {
      const payload = payloadOf(length)
      const message = Buffer.from(encodeChunk(payload))
      // proto3 leaves an empty field out; both forms carry nothing.
      if (length > 0) assert.deepEqual(message, Buffer.from(Chunk.encode({ data: payload }).finish()))
      assert.deepEqual(readByProtobufjs(message), payload)
      assert.deepEqual(Buffer.concat(decodeChunk(message).payloads), payload)
    })
  }
})

describe('messages for the gateway', () => {
  test('32,764 bytes are the most that a message of 32,768 carries', () => {
    assert.equal(MAX_MESSAGE_BYTES, 32_768)
    assert.equal(maxPayloadBytes(), 32_764)
  })

  test('the largest payload is the largest whose chunk fits, for every message size', () => {
    for (let size = 2; size <= 40_000; size++) {
      const payload = maxPayloadBytes(size)
      assert.ok(chunkHeaderLength(payload) + payload <= size, `${size}`)
      assert.ok(chunkHeaderLength(payload + 1) + payload + 1 > size, `${size}`)
    }
    assert.throws(() => maxPayloadBytes(1), RangeError)
    assert.throws(() => maxPayloadBytes(0), RangeError)
  })

  for (const limit of [16, 130, 131, 16_388, 16_389, 32_768]) {
    const most = maxPayloadBytes(limit)
    for (const length of [0, 1, most - 1, most, most + 1, 2 * most, 2 * most + 1, 65_536]) {
      test(`${length} bytes in messages of at most ${limit}`, () => {
        const payload = payloadOf(length)
        const messages = [...splitPayload(payload, limit)].map(encodeChunk)
        assert.equal(messages.length, Math.ceil(length / most))
        for (const message of messages) assert.ok(message.length <= limit)
        assert.deepEqual(Buffer.concat(messages.map(readByProtobufjs)), payload)
        assert.deepEqual(Buffer.concat([...splitPayload(payload, limit)]), payload)
      })
    }
  }
})

/** Hex of a message, and the hex of the payload bytes that it carries. */
const DECODED: ReadonlyArray<readonly [title: string, message: string, payload: string]> = [
  ['no bytes', '', ''],
  ['an empty chunk', '0a00', ''],
  ['one byte', '0a01 41', '41'],
  ['two data fields', '0a01 41 0a02 4243', '414243'],
  ['an empty data field between two', '0a01 41 0a00 0a01 42', '4142'],
  ['a length in an overlong varint of five bytes', '0a 8180808000 41', '41'],
  ['a tag in an overlong varint of five bytes', '8a80808000 01 41', '41'],
  ['an unknown varint of one byte', '18 01 0a01 41', '41'],
  ['an unknown varint of ten bytes', '18 ffffffffffffffffff01 0a01 41', '41'],
  ['an unknown fixed64', '11 0102030405060708 0a01 41', '41'],
  ['unknown bytes', '12 03 0a0142 0a01 41', '41'],
  ['an unknown fixed32', '15 01020304 0a01 41', '41'],
  ['an unknown group', '13 0801 14 0a01 41', '41'],
  ['an unknown group with a group and bytes inside', '13 1b 0a0142 1c 120100 14 0a01 41', '41'],
  ['the largest field number', 'faffffff0f 01 42 0a01 41', '41'],
  ['field 1 as a varint', '08 2a 0a01 41', '41'],
  ['field 1 as a fixed32', '0d 01020304 0a01 41', '41'],
  ['field 1 as a group', '0b 0a0142 0c 0a01 41', '41'],
  ['a hundred nested groups', `${'13'.repeat(100)}${'14'.repeat(100)} 0a01 41`, '41'],
]

const REFUSED: ReadonlyArray<readonly [title: string, message: string]> = [
  ['a tag alone', '0a'],
  ['a payload that is cut off', '0a05 41'],
  ['a length that is cut off', '0a 80'],
  ['a tag that is cut off', '8a'],
  ['a second field that is cut off', '0a01 41 0a02 42'],
  ['a length of 2^31', '0a 8080808008 41'],
  ['a length of 2^32 + 1', '0a 8180808010 41'],
  ['a length of 2^53', '0a 8080808080808010 41'],
  ['a length of 2^64 - 1', '0a ffffffffffffffffff01 41'],
  ['field 0', '02 01 41'],
  ['field 0 in an overlong varint', '8200 01 41'],
  ['a field number above 2^29 - 1', 'fa80808010 01 41'],
  ['wire type 6', '0e 01 41'],
  ['wire type 7', '0f 01 41'],
  ['the end of a group that was not begun', '14'],
  ['a group that does not end', '13 0801'],
  ['a group that ends with another number', '13 0801 1c'],
  ['field 0 inside a group', '13 0201 41 14'],
  ['wire type 7 inside a group', '13 0f 14'],
  ['a fixed64 that is cut off', '11 01020304050607'],
  ['a fixed32 that is cut off', '15 010203'],
  ['a varint that is cut off', '10 ffff'],
  ['a hundred and two nested groups', `${'13'.repeat(102)}${'14'.repeat(102)} 0a01 41`],
]

/** Hex of a message, the hex of its payload, and whether it is its side's last. */
const ENDS: ReadonlyArray<readonly [title: string, message: string, payload: string, isEnd: boolean]> = [
  ['an end', '10 01', '', true],
  ['an end that is false', '10 00', '', false],
  ['an end in an overlong varint', '10 818000', '', true],
  ['data and then an end', '0a01 41 10 01', '41', true],
  ['an end before its data', '10 01 0a01 41', '41', true],
  ['an end that is taken back', '10 01 10 00', '', false],
  ['an end of another wire type', '12 01 01', '', false],
]

describe('chunk decoding', () => {
  for (const [title, message, payload, isEnd] of ENDS) {
    test(`reads ${title}`, () => {
      const chunk = decodeChunk(hex(message))
      assert.equal(Buffer.concat(chunk.payloads).toString('hex'), payload)
      assert.equal(chunk.isEnd, isEnd)
      if (!title.endsWith('wire type'))
        assert.equal((Chunk.decode(hex(message)) as unknown as { end: boolean }).end, isEnd)
    })
  }

  test('the chunk that ends a direction is that of protobufjs', () => {
    assert.deepEqual(Buffer.from(Chunk.encode({ end: true }).finish()), Buffer.from(END_CHUNK))
  })

  for (const [title, message, payload] of DECODED) {
    test(`reads ${title}`, () => {
      assert.equal(Buffer.concat(decodeChunk(hex(message)).payloads).toString('hex'), payload)
      assert.equal(readByProtobufjs(hex(message)).toString('hex'), payload)
    })
  }

  for (const [title, message] of REFUSED) {
    test(`refuses ${title}`, () => {
      assert.throws(() => decodeChunk(hex(message)), ChunkDecodeError)
      assert.throws(() => readByProtobufjs(hex(message)))
    })
  }

  test('gives views into the message, without the empty ones', () => {
    const message = hex('0a00 0a02 4142 0a00')
    const { payloads } = decodeChunk(message)
    assert.equal(payloads.length, 1)
    assert.equal(payloads[0]?.buffer, message.buffer)
  })

  test('does not read behind the message in its buffer', () => {
    const memory = hex('ff 0a03 41 4243 ff')
    assert.throws(() => decodeChunk(memory.subarray(1, 4)), ChunkDecodeError)
    assert.equal(Buffer.concat(decodeChunk(memory.subarray(1, 6)).payloads).toString(), 'ABC')
  })

  test('refuses a varint of eleven bytes, which protobufjs skips', () => {
    // https://protobuf.dev/programming-guides/encoding/#varints: a varint has between one and ten bytes.
    const message = hex('18 8080808080808080808000 0a01 41')
    assert.throws(() => decodeChunk(message), ChunkDecodeError)
    assert.equal(readByProtobufjs(message).toString(), 'A')
  })

  test('refuses the hundred and first nested group, which protobufjs skips when it is empty', () => {
    const message = hex(`${'13'.repeat(101)}${'14'.repeat(101)} 0a01 41`)
    assert.throws(() => decodeChunk(message), ChunkDecodeError)
    assert.equal(readByProtobufjs(message).toString(), 'A')
  })

  test('refuses a tag and a length of more than five bytes, as protobufjs does', () => {
    for (const message of [
      '8a8080808000 01 41',
      '8a808080808080808000 01 41',
      '0a 818080808000 41',
      '0a 81808080808080808000 41',
    ]) {
      assert.throws(() => decodeChunk(hex(message)), ChunkDecodeError, message)
      assert.throws(() => readByProtobufjs(hex(message)), message)
    }
  })

  const field = fc.oneof(
    { weight: 3, arbitrary: fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(encodeChunk(bytes))) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 12 }).map((bytes) => Buffer.from(bytes)) },
    {
      weight: 2,
      arbitrary: fc
        .tuple(
          fc.constantFrom(
            '08',
            '0a',
            '0b',
            '0c',
            '0d',
            '10',
            '11',
            '12',
            '13',
            '14',
            '15',
            '16',
            '02',
            '8a00',
            '9b01',
            '9c01',
          ),
          fc.constantFrom(
            '',
            '00',
            '01',
            '05',
            '7f',
            '8000',
            '8100',
            'ff',
            'ffffffff07',
            'ffffffff0f',
            '8080808080808080808001',
          ),
          fc.uint8Array({ maxLength: 9 }),
        )
        .map(([tag, varint, bytes]) => Buffer.concat([hex(tag), hex(varint), bytes])),
    },
  )
  const message = fc.array(field, { maxLength: 6 }).map((fields) => Buffer.concat(fields))

  test('agrees with protobufjs on every input', () => {
    fc.assert(
      fc.property(message, (bytes) => {
        let expected: Buffer | undefined
        try {
          expected = readByProtobufjs(bytes)
        } catch {
          // Refused, and so must it be here.
        }
        let seen: Buffer | undefined
        let detail = ''
        try {
          seen = Buffer.concat(decodeChunk(bytes).payloads)
        } catch (error) {
          assert.ok(error instanceof ChunkDecodeError, String(error))
          detail = error.message
        }
        if (seen === undefined && expected !== undefined && /10 bytes|too deep/.test(detail)) return
        assert.equal(seen?.toString('hex'), expected?.toString('hex'), bytes.toString('hex'))
      }),
      { numRuns: IS_LARGE ? 1_000_000 : 20_000 },
    )
  })
})
