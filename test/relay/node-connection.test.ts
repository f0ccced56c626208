// How a connection is read on Node: taken over, or left to Node as on a line that was not tested. Both must give the same.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { describe, test } from 'node:test'
import { NodeConnection } from '#src/runtime/node-connection.js'
import { uploadPool } from '#src/runtime/node-upload.js'
import { deterministicBytes } from '../support/deterministic-bytes.js'

const MIB = 1024 * 1024

/** Sends `length` bytes to a connection that echoes what it reads and ends when the client does. */
async function echo(length: number, readsByItself: boolean): Promise<{ sent: string; got: string; events: string[] }> {
  const events: string[] = []
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    const connection = new NodeConnection(socket, 64 * 1024, readsByItself)
    connection.start({
      connectionOnData: (bytes) => {
        // What is read into is used again.
        if (!connection.write(new Uint8Array(bytes))) connection.pauseReading()
      },
      connectionOnDrain: () => connection.resumeReading(),
      connectionOnEnd: () => {
        events.push('end')
        connection.endWriting()
      },
      connectionOnFinish: () => events.push('finish'),
      connectionOnClose: () => events.push('close'),
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true })
  const sent = createHash('sha256')
  const got = createHash('sha256')
  client.on('data', (bytes) => got.update(bytes))
  for (const bytes of deterministicBytes(length)) {
    sent.update(bytes)
    if (!client.write(bytes)) await once(client, 'drain')
  }
  client.end()
  await once(client, 'close')
  // Waits for the connections too: it hangs if the server still counts one.
  server.close()
  await once(server, 'close')
  return { sent: sent.digest('hex'), got: got.digest('hex'), events }
}

describe('a connection on Node', () => {
  for (const readsByItself of [true, false]) {
    for (const length of [0, 1, 16_383, 16_384, 65_536, 8 * MIB]) {
      test(`echoes ${length} bytes when its reading is ${readsByItself ? 'taken over' : 'left to Node'}`, async () => {
        const { sent, got, events } = await echo(length, readsByItself)
        assert.equal(got, sent)
        assert.deepEqual(events, ['end', 'finish', 'close'])
      })
    }
  }
})

describe('a connection on Node that has been read by itself', () => {
  test('holds a buffer of the pool behind a large read, none at rest, and goes on behind it', async (context) => {
    let held = 0
    const [acquire, release] = [uploadPool.acquire.bind(uploadPool), uploadPool.release.bind(uploadPool)]
    context.mock.method(uploadPool, 'acquire', () => {
      held++
      return acquire()
    })
    context.mock.method(uploadPool, 'release', (...args: Parameters<typeof release>) => {
      held--
      release(...args)
    })
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const client = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1' })
    const [accepted] = await once(server, 'connection')
    const connection = new NodeConnection(accepted, 64 * 1024, true)
    const read = createHash('sha256')
    let length = 0
    let onLength: (() => void) | undefined
    connection.start({
      connectionOnData: (bytes) => {
        read.update(bytes)
        length += bytes.length
        onLength?.()
      },
      connectionOnDrain() {},
      connectionOnEnd() {},
      connectionOnFinish() {},
      connectionOnClose() {},
    })
    const sent = createHash('sha256')
    const send = async (bytes: Buffer): Promise<void> => {
      const wanted = length + bytes.length
      sent.update(bytes)
      client.write(bytes)
      await new Promise<void>((resolve) => {
        onLength = () => length === wanted && resolve()
      })
    }
    for (let round = 0; round < 3; round++) {
      await send(Buffer.alloc(32 * 1024, round))
      assert.equal(held, 1)
      connection.rest()
      assert.equal(held, 0)
      connection.rest()
      await send(Buffer.from('small'))
      assert.equal(held, 0)
    }
    assert.equal(read.digest('hex'), sent.digest('hex'))
    client.destroy()
    connection.close()
    server.close()
    await once(server, 'close')
  })
})
