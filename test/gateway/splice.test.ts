// Hosts without a rule, and where the gateway may dial at all.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type TestContext, test } from 'node:test'
import type { GatewayOptions } from 'ccr-upstream-gateway'
import { listen } from '../support/listening.js'
import { Mailbox } from '../support/mailbox.js'
import { originCa } from '../support/origin.js'
import { CREDENTIALS, requestOver, responseOf, startGateway, textOf } from './fixture.js'
import { connect, readAll, startTls } from './wire-client.js'

/** A TCP server that hands out its connections; its address. */
async function startTcpServer(context: TestContext, onSocket: (socket: Socket) => void): Promise<string> {
  return (await listen(context, createServer(onSocket))).address
}

/** What comes up to the end; unlike readAll() it leaves the other direction open. */
async function textToEnd(stream: Duplex): Promise<string> {
  const pieces: Buffer[] = []
  stream.on('data', (bytes: Buffer) => pieces.push(bytes))
  await once(stream, 'end')
  return Buffer.concat(pieces).toString()
}

test("a host without a rule shows the origin's own certificate, a ruled one the gateway's", async (context) => {
  const gateway = await startGateway(context)
  const { stream } = await gateway.openTunnel('plain.example.com')
  const spliced = await startTls(stream, originCa.rootPem, 'plain.example.com')
  assert.equal(spliced.getPeerCertificate().issuer.CN, 'origin root')
  const { socket } = await gateway.connect()
  assert.equal(socket.getPeerCertificate().issuer.CN, 'interception root')
  assert.equal(socket.getPeerCertificate().subjectaltname, 'DNS:api.example.com')
})

test('a spliced tunnel is one audit line at its end, with bytes and without an injection', async (context) => {
  const address = await startTcpServer(context, (socket) => {
    socket.once('data', () => socket.end('pong!'))
  })
  const gateway = await startGateway(context, { connectTo: { 'plain.example.com:443': address } })
  const { stream } = await gateway.openTunnel('plain.example.com')
  stream.write('ping')
  assert.equal((await readAll(stream)).toString(), 'pong!')
  assert.equal(await stream.closeCode, 1000)
  const record = await gateway.nextRecord()
  assert.deepEqual(
    { ...record, time: '', tunnel: '', ms: 0 },
    {
      time: '',
      session: CREDENTIALS.session,
      tunnel: '',
      ms: 0,
      mode: 'tunnel',
      host: 'plain.example.com',
      port: 443,
      bytesUp: 4,
      bytesDown: 5,
    },
  )
})

test('what the client sent before it closed still reaches the origin', async (context) => {
  let received: Promise<Buffer> | undefined
  const address = await startTcpServer(context, (socket) => {
    received = readAll(socket)
  })
  const gateway = await startGateway(context, { connectTo: { 'plain.example.com:443': address } })
  const { stream } = await gateway.openTunnel('plain.example.com')
  const sent = Buffer.alloc(300_000, 'x')
  stream.end(sent)
  assert.equal((await gateway.nextRecord()).mode, 'tunnel')
  assert.equal((await received)?.length, sent.length)
})

test('the end of what the client sends reaches the origin, and its answer the client', async (context) => {
  const address = (
    await listen(
      context,
      createServer({ allowHalfOpen: true }, (socket) => {
        textToEnd(socket).then((text) => socket.end(`${text.length} bytes`))
      }),
    )
  ).address
  const gateway = await startGateway(context, { connectTo: { 'plain.example.com:443': address } })
  const { stream } = await gateway.openTunnel('plain.example.com')
  stream.write(Buffer.alloc(100_000))
  stream.endSending()
  assert.equal((await readAll(stream)).toString(), '100000 bytes')
  assert.equal(await stream.closeCode, 1000)
  const record = await gateway.nextRecord()
  assert.ok(record.mode === 'tunnel' && record.error === undefined)
})

test('the end of what the origin sends reaches the client, whose upload goes on', async (context) => {
  let received: Promise<Buffer> | undefined
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.end('all I have')
    received = readAll(socket)
  })
  const { address } = await listen(context, server)
  const gateway = await startGateway(context, { connectTo: { 'plain.example.com:443': address } })
  const { stream } = await gateway.openTunnel('plain.example.com')
  stream.staysOpen = true
  assert.equal(await textToEnd(stream), 'all I have')
  stream.write('still here')
  stream.endSending()
  assert.equal((await received)?.toString(), 'still here')
  assert.equal(await stream.closeCode, 1000)
  assert.equal((await gateway.nextRecord()).mode, 'tunnel')
})

test('an upload that goes on after the end of the origin, and then closes, reaches a slow origin whole', async (context) => {
  const accepted = new Mailbox<Socket>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.pause().end('all I have')
    accepted.put(socket)
  })
  const { address } = await listen(context, server)
  const gateway = await startGateway(context, { connectTo: { 'plain.example.com:443': address } })
  const { stream } = await gateway.openTunnel('plain.example.com')
  stream.staysOpen = true
  assert.equal(await textToEnd(stream), 'all I have')
  const sent = Buffer.alloc(8 * 1_048_576, 'x')
  stream.end(sent)
  const socket = await accepted.next()
  assert.equal((await textToEnd(socket.resume())).length, sent.length)
})

test('a relay that does not know the end of a direction is closed when it has said nothing for a while', async (context) => {
  const { address } = await listen(
    context,
    createServer((socket) => socket.end('all I have')),
  )
  const gateway = await startGateway(context, { connectTo: { 'plain.example.com:443': address } })
  const { stream } = await gateway.openTunnel('plain.example.com')
  stream.staysOpen = true
  assert.equal(await textToEnd(stream), 'all I have')
  assert.equal(await stream.closeCode, 1000)
})

test('a message after its end closes the WebSocket with 1002', async (context) => {
  const { address } = await listen(context, createServer())
  const gateway = await startGateway(context, { connectTo: { 'plain.example.com:443': address } })
  const { stream } = await gateway.openTunnel('plain.example.com')
  stream.endSending()
  stream.write('more')
  assert.equal(await stream.closeCode, 1002)
})

test('an origin that resets the connection closes the WebSocket with 1011', async (context) => {
  const address = await startTcpServer(context, (socket) => {
    socket.once('data', () => socket.resetAndDestroy())
  })
  const gateway = await startGateway(context, { connectTo: { 'plain.example.com:443': address } })
  const { stream } = await gateway.openTunnel('plain.example.com')
  stream.write('ping')
  assert.equal(await stream.closeCode, 1011)
  const record = await gateway.nextRecord()
  assert.equal('error' in record && record.error, 'upstream-aborted')
})

test('no message to the relay is larger than 32,768 bytes', async (context) => {
  const address = await startTcpServer(context, (socket) => socket.end(Buffer.alloc(1_000_000)))
  const gateway = await startGateway(context, { connectTo: { 'plain.example.com:443': address } })
  const { stream } = await gateway.openTunnel('plain.example.com')
  assert.equal((await readAll(stream)).length, 1_000_000)
  assert.equal(Math.max(...stream.messageSizes), 32_768)
})

test('an origin that is down is a 502 answer to the CONNECT', async (context) => {
  const gateway = await startGateway(context)
  await gateway.origin.close()
  const { status, text } = await gateway.openTunnel('plain.example.com')
  assert.equal(status, 502)
  assert.match(text, /error=connection_refused/)
})

test('with default deny a host without a rule is answered 403', async (context) => {
  const gateway = await startGateway(context, { config: { default: 'deny' } })
  const { status, text, stream } = await gateway.openTunnel('plain.example.com')
  assert.equal(status, 403)
  assert.match(text, /"code":"policy-denied"/)
  assert.equal(await stream.closeCode, 1000)
  assert.equal(gateway.origin.connections, 0)
})

test('a port that is not listed is answered 403', async (context) => {
  const gateway = await startGateway(context, { upstream: { allowPorts: [443, 8443] } })
  for (const port of [22, 80, 6379]) {
    const { status, text } = await gateway.openTunnel(`api.example.com:${port}`)
    assert.equal(status, 403)
    assert.match(text, /"code":"port-denied"/)
  }
})

const PRIVATE_ADDRESSES = [
  '0.0.0.0',
  '0.1.2.3',
  '10.0.0.1',
  '100.64.0.1',
  '100.100.100.200',
  '127.0.0.1',
  '127.255.255.255',
  '168.63.129.16',
  '169.254.169.254',
  '172.16.0.1',
  '172.31.255.255',
  '192.0.0.192',
  '192.168.0.1',
  '198.18.0.1',
  '198.19.255.255',
  '224.0.0.1',
  '240.0.0.1',
  '255.255.255.255',
  '[::]',
  '[::1]',
  '[::127.0.0.1]',
  '[::ffff:127.0.0.1]',
  '[::ffff:8.8.8.8]',
  '[64:ff9b::7f00:1]',
  '[64:ff9b::808:808]',
  '[64:ff9b:1::1]',
  '[100::1]',
  '[2001::1]',
  '[2001:db8::1]',
  '[2002:7f00:1::1]',
  '[3fff::1]',
  '[fc00::1]',
  '[fd00:ec2::254]',
  '[fe80::1]',
  '[fec0::1]',
  '[ff02::1]',
]

test('an address that is not public is answered 403', async (context) => {
  const gateway = await startGateway(context)
  for (const address of PRIVATE_ADDRESSES) {
    const { status, text } = await gateway.openTunnel(address)
    assert.equal(status, 403, address)
    assert.match(text, /error=destination_ip_prohibited/)
  }
})

/** How a name that has `answers` is refused; the dial is never made, it would go out to the internet. */
async function refusalFor(context: TestContext, answers: readonly string[], upstream = {}): Promise<string> {
  const options: GatewayOptions = { lookup: async () => answers, dialTimeoutMs: 2_000 }
  const gateway = await startGateway(context, { options, upstream })
  const { text } = await gateway.openTunnel('rebound.example.com')
  for (const answer of answers) assert.ok(!text.includes(answer), 'the answer tells an address')
  return /"code":"([a-z-]+)"/.exec(text)?.[1] ?? text
}

test('a name with an address that is not public is refused, also when another one is', async (context) => {
  for (const address of PRIVATE_ADDRESSES.map((text) => text.replace(/[[\]]/g, ''))) {
    assert.equal(await refusalFor(context, [address]), 'address-denied', address)
  }
  assert.equal(await refusalFor(context, ['93.184.216.34', '127.0.0.1']), 'address-denied')
  assert.equal(await refusalFor(context, ['fe80::1%lo']), 'address-denied')
})

test('a name without addresses, and one that does not resolve, are a 502', async (context) => {
  assert.equal(await refusalFor(context, []), 'dns-failed')
  const lookup = () => Promise.reject(Object.assign(new Error('not found'), { code: 'ENOTFOUND' }))
  const { tunnelUrl } = await startGateway(context, { options: { lookup } })
  const { status, text } = await connect(tunnelUrl, CREDENTIALS, 'nowhere.example.com:443')
  assert.equal(status, 502)
  assert.match(text, /error=dns_error/)
})

test('a resolver that does not answer in time is a 504', async (context) => {
  const options: GatewayOptions = { lookup: () => new Promise(() => {}), dialTimeoutMs: 20 }
  const gateway = await startGateway(context, { options })
  const { status, text } = await gateway.openTunnel('slow.example.com')
  assert.equal(status, 504)
  assert.match(text, /"code":"connection-timeout"/)
})

test('the checked address is the one dialled, and a listed address may be', async (context) => {
  const address = await startTcpServer(context, (socket) => socket.end('here'))
  const port = Number(address.split(':')[1])
  let lookups = 0
  const lookup = async () => {
    lookups++
    return lookups === 1 ? ['127.0.0.1'] : ['10.0.0.1']
  }
  const upstream = { allowAddresses: ['127.0.0.1/32'], allowPorts: [port] }
  const gateway = await startGateway(context, { options: { lookup }, upstream })
  const { stream } = await gateway.openTunnel(`named.example.com:${port}`)
  assert.equal((await readAll(stream)).toString(), 'here')
  assert.equal(lookups, 1)
  const { status } = await gateway.openTunnel(`127.0.0.2:${port}`)
  assert.equal(status, 403)
  const mapped = await gateway.openTunnel(`[::ffff:127.0.0.1]:${port}`)
  assert.equal(mapped.status, 403)
})

test('an intercepted name with an address that is not public is a 403 inside the tunnel', async (context) => {
  const options: GatewayOptions = { lookup: async () => ['10.1.2.3'] }
  const gateway = await startGateway(context, { options, config: { upstream: {} } })
  const { socket } = await gateway.connect()
  const request = requestOver(socket, {})
  request.end()
  const response = await responseOf(request)
  assert.equal(response.statusCode, 403)
  const body = await textOf(response)
  assert.equal(JSON.parse(body).code, 'address-denied')
  assert.ok(!body.includes('10.1.2.3'))
})
