// How a connection is read on Node: taken over, or left to Node as on a line that was not tested. Both must give the same.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { describe, test } from 'node:test'
import { NodeConnection } from '#src/runtime/node-connection.js'
import { deterministicBytes } from '../support/https-origin.js'

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
