// Tunnels handed to a CONNECT proxy that is not there, is none, or is not asked. Real ones are in forward-proxy.long.test.ts.

import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { freePort, listen } from '../support/listening.js'
import { startGateway } from './fixture.js'

test('a proxy that is not there, or is none, is a 502; the rest of the gateway goes on', async (context) => {
  const gateway = await startGateway(context, { rules: {} })
  const noProxy = createServer((socket) => socket.resume().end('SSH-2.0-none\r\n'))
  for (const port of [await freePort(), (await listen(context, noProxy)).port]) {
    await gateway.reload({ forward: `http://127.0.0.1:${port}`, ca: { certificate: 'ca.pem' } })
    const { status, text } = await gateway.openTunnel()
    assert.deepEqual([status, text.includes('"forward-failed"')], [502, true])
  }
})

test('the policy still decides before the proxy is asked', async (context) => {
  const gateway = await startGateway(context, { rules: {} })
  const forward = `http://127.0.0.1:${await freePort()}`
  await gateway.reload({ forward, default: 'deny', ca: { certificate: 'ca.pem' } })
  assert.equal((await gateway.openTunnel()).status, 403)
})
