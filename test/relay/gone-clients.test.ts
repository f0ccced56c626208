// What the system's table of sockets says of clients. The lines are as Linux 6 writes them.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { describe, test } from 'node:test'
import { findMissing, GoneClients } from '#src/relay/gone-clients.js'

const HEADING =
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode                    \n'
const LISTENER =
  '   0: 0100007F:8731 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 238694 1 00000000577cb577 100 0 0 10 0\n'
const RELAY = 0x8731

/** The client's end of a connection to the relay, from port 0x1F90. */
const line = (inode: number, remote = '0100007F:8731') =>
  `   1: 0100007F:1F90 ${remote} 01 00000000:00000000 00:00000000 00000000  1000        0 ${inode} 1 00000000e2f2f3a1 20 4 30 10 -1\n`
const IPV6_LINE =
  '   0: 0000000000000000FFFF00000100007F:1F90 0000000000000000FFFF00000100007F:8731 08 00000000:00000000 00:00000000 00000000     0        0 4711 1 00000000e2f2f3a1 20 4 30 10 -1\n'

const find = (ipv4: string, ipv6 = '') => [...findMissing([HEADING + ipv4, ipv6], RELAY, new Set([0x1f90]))]

describe('a client is missing from the table', () => {
  test('when it has no line, or one without an inode', () => {
    assert.deepEqual(find(LISTENER), [0x1f90])
    assert.deepEqual(find(LISTENER + line(0)), [0x1f90])
  })

  test('when the line of its port leads elsewhere', () => {
    assert.deepEqual(find(LISTENER + line(4711, '0100007F:8732')), [0x1f90])
  })

  test('but not when a process has its socket open, for IPv4 or for IPv6', () => {
    assert.deepEqual(find(LISTENER + line(4711)), [])
    assert.deepEqual(find(LISTENER, IPV6_LINE), [])
  })

  test('also when the relay has stopped listening, and its end of the connection is what shows its port', () => {
    const relaysEnd = LISTENER.replace('00000000:0000 0A', '0100007F:1F90 08')
    assert.deepEqual(find(relaysEnd), [0x1f90])
    assert.deepEqual(find(relaysEnd + line(4711)), [])
  })

  test('but not when the table does not show the relay, or there is none', () => {
    assert.deepEqual(find(''), [])
    assert.deepEqual(find(line(0)), [])
  })
})

const skip = process.platform !== 'linux' && 'there is no table of sockets but on Linux'

describe('a client is gone', { skip }, () => {
  test('when it is missing twice, and no look comes sooner than the rest behind the last', async (context) => {
    const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const [open, closed] = await Promise.all([connectTo(port), connectTo(port)])
    context.after(() => {
      open.destroy()
      server.close()
    })
    const ports = new Set([open.localPort as number, closed.localPort as number])
    const closedPort = closed.localPort as number
    closed.destroy()
    await once(closed, 'close')
    const clients = new GoneClients()
    let time = 0
    const look = (elapsedMs: number) => {
      time += elapsedMs
      // Each call of the clock is 10 ms later, so that a look takes that long.
      return clients.find(port, ports, () => (time += 10)).then((gone) => [...gone])
    }
    assert.deepEqual(await look(0), [])
    assert.deepEqual(await look(100), [], 'the second look came too soon')
    assert.deepEqual(await look(1_000), [closedPort])
  })
})

async function connectTo(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  return socket
}
