// A gateway that echoes, and clients of a program with a relay in its thread.

import assert from 'node:assert/strict'
import type { RelayThreadChoice } from '#src/index.js'
import { relayOptions } from '../relay/fixture.js'
import { connectHead } from '../support/connect-vectors.js'
import { type ProxyProcess, startRelayProgram } from '../support/proxy-process.js'
import { connectRaw, type RawClient } from '../support/raw-client.js'
import type { TestRuntime } from '../support/runtimes.js'
import type { Scope } from '../support/temp-dir.js'
import { startWireGateway, type WireGateway } from '../support/wire-gateway.js'

export const MODES: readonly RelayThreadChoice[] = ['main', 'worker']

/** A gateway that sends everything back that goes to echo.example, and refuses the rest. */
export async function startEchoGateway(scope: Scope): Promise<WireGateway> {
  const gateway = await startWireGateway()
  scope.after(() => gateway.close())
  gateway.scripts.set('echo.example', (tunnel) => {
    tunnel.open()
    return tunnel.echo()
  })
  gateway.scripts.set('refused.example', (tunnel) => {
    tunnel.send('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n')
    tunnel.socket.close()
  })
  return gateway
}

export async function openClient(
  scope: Scope,
  { port }: ProxyProcess,
  target = 'echo.example:443',
): Promise<RawClient> {
  const client = await connectRaw(port)
  scope.after(() => client.reset())
  client.write(connectHead(target))
  return client
}

export async function openTunnel(scope: Scope, program: ProxyProcess): Promise<RawClient> {
  const client = await openClient(scope, program)
  await client.takeOpening()
  return client
}

export async function exchange(client: RawClient, round: number): Promise<void> {
  const bytes = Buffer.alloc(1_000, round)
  client.write(bytes)
  assert.deepEqual(await client.take(bytes.length), bytes)
}

/** A program whose relay uses such a gateway. */
export async function startEchoProgram(
  scope: Scope,
  runtime: TestRuntime,
  thread: RelayThreadChoice | undefined,
  more: object = {},
) {
  const gateway = await startEchoGateway(scope)
  const options = { ...relayOptions(gateway), ...more, ...(thread === undefined ? {} : { thread }) }
  return { gateway, program: await startRelayProgram(scope, runtime, { options }) }
}
