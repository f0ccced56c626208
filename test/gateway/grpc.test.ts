// gRPC through interception, with the official client and server: unary and streaming calls, statuses, cancellation.
// The client's own connection is what it makes itself; a local port hands its bytes to the tunnel.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { type TestContext, test } from 'node:test'
import * as grpc from '@grpc/grpc-js'
import { listen } from '../support/listening.js'
import { originCa } from '../support/origin.js'
import { SECRET, startGateway, type TestGateway } from './fixture.js'

const METHOD = { requestStream: false, responseStream: false }
const BYTES = {
  requestSerialize: (text: string) => Buffer.from(text),
  requestDeserialize: (bytes: Buffer) => bytes.toString(),
  responseSerialize: (text: string) => Buffer.from(text),
  responseDeserialize: (bytes: Buffer) => bytes.toString(),
}
const ECHO = {
  unary: { path: '/test.Echo/Unary', ...METHOD, ...BYTES },
  chat: { path: '/test.Echo/Chat', ...METHOD, requestStream: true, responseStream: true, ...BYTES },
  fail: { path: '/test.Echo/Fail', ...METHOD, ...BYTES },
  hang: { path: '/test.Echo/Hang', ...METHOD, responseStream: true, ...BYTES },
}

interface Seen {
  readonly authorization: grpc.MetadataValue[]
  cancelled: number
}

async function startGrpcOrigin(context: TestContext): Promise<{ address: string; seen: Seen }> {
  const seen: Seen = { authorization: [], cancelled: 0 }
  const server = new grpc.Server()
  server.addService(ECHO, {
    unary: (call: grpc.ServerUnaryCall<string, string>, callback: grpc.sendUnaryData<string>) => {
      seen.authorization.push(...call.metadata.get('authorization'))
      const trailers = new grpc.Metadata()
      trailers.set('x-trailer', 'reached')
      callback(null, `hello ${call.request}`, trailers)
    },
    chat: (call: grpc.ServerDuplexStream<string, string>) => {
      seen.authorization.push(...call.metadata.get('authorization'))
      call.on('data', (text: string) => call.write(`${text}!`))
      call.on('end', () => call.end())
    },
    fail: (_call: unknown, callback: grpc.sendUnaryData<string>) => {
      callback({ code: grpc.status.FAILED_PRECONDITION, details: 'not like this' })
    },
    hang: (call: grpc.ServerWritableStream<string, string>) => {
      call.write('first')
      call.on('cancelled', () => {
        seen.cancelled++
      })
    },
  })
  const { cert, key } = await originCa.serverCertificate('api.example.com')
  const pair = { cert_chain: Buffer.from(cert), private_key: Buffer.from(key) }
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createSsl(null, [pair]), (error, bound) => {
      if (error === null) resolve(bound)
      else reject(error)
    })
  })
  context.after(() => server.forceShutdown())
  return { address: `127.0.0.1:${port}`, seen }
}

/** A local port whose connections are tunnels to api.example.com. */
async function startPort(context: TestContext, gateway: TestGateway): Promise<number> {
  const server = createServer((socket) => {
    void gateway.openTunnel().then(({ stream }) => {
      socket.pipe(stream)
      stream.pipe(socket)
      stream.on('close', () => socket.destroy())
      socket.on('close', () => stream.destroy())
    })
  })
  return (await listen(context, server)).port
}

async function startStage(context: TestContext) {
  const { address, seen } = await startGrpcOrigin(context)
  const gateway = await startGateway(context, { connectTo: { 'api.example.com:443': address } })
  const port = await startPort(context, gateway)
  const credentials = grpc.credentials.createSsl(Buffer.from(gateway.caCertificatePem))
  const Client = grpc.makeClientConstructor(ECHO, 'Echo')
  const client = new Client(`127.0.0.1:${port}`, credentials, {
    'grpc.ssl_target_name_override': 'api.example.com',
    'grpc.default_authority': 'api.example.com',
  })
  context.after(() => client.close())
  return {
    gateway,
    seen,
    client: client as unknown as grpc.Client & Record<keyof typeof ECHO, (...args: unknown[]) => unknown>,
  }
}

test('a unary call has its answer, its trailers and the injected credential', async (context) => {
  const { client, seen } = await startStage(context)
  const metadata = new grpc.Metadata()
  metadata.set('authorization', 'Bearer mine')
  let trailer: grpc.MetadataValue[] = []
  const answer = await new Promise((resolve, reject) => {
    const call = client.unary('world', metadata, (error: Error | null, text: string) => {
      if (error === null) resolve(text)
      else reject(error)
    }) as grpc.ClientUnaryCall
    call.on('status', (status) => {
      trailer = status.metadata.get('x-trailer')
    })
  })
  assert.equal(answer, 'hello world')
  assert.deepEqual(seen.authorization, [`Bearer ${SECRET}`])
  await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual(trailer, ['reached'])
})

test('messages of a bidirectional call go back and forth while it is open', async (context) => {
  const { client, seen, gateway } = await startStage(context)
  const call = client.chat() as grpc.ClientDuplexStream<string, string>
  for (let index = 0; index < 50; index++) {
    call.write(`message ${index}`)
    const [answer] = await once(call, 'data')
    assert.equal(answer, `message ${index}!`)
  }
  const ended = once(call, 'status')
  call.end()
  const [{ code }] = (await ended) as [grpc.StatusObject]
  assert.equal(code, grpc.status.OK)
  assert.deepEqual(seen.authorization, [`Bearer ${SECRET}`])
  const record = await gateway.nextRecord()
  assert.ok(record.mode === 'intercept' && record.status === 200 && record.path === '/test.Echo/Chat')
})

test("the origin's status reaches the client, also without a body", async (context) => {
  const { client } = await startStage(context)
  const error = await new Promise<grpc.ServiceError>((resolve) => {
    client.fail('x', (failure: grpc.ServiceError) => resolve(failure))
  })
  assert.equal(error.code, grpc.status.FAILED_PRECONDITION)
  assert.equal(error.details, 'not like this')
})

test('a cancelled call is cancelled at the origin', async (context) => {
  const { client, seen } = await startStage(context)
  const call = client.hang('x') as grpc.ClientReadableStream<string>
  call.on('error', () => {})
  assert.deepEqual(await once(call, 'data'), ['first'])
  call.cancel()
  while (seen.cancelled === 0) await new Promise((resolve) => setImmediate(resolve))
})
