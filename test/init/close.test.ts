// What open tunnels still have while a proxy is being closed.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { initUpstreamProxy } from 'ccr-upstream-proxy'
import { PLAIN_HOST, type System, startSystem, TOKEN } from '../support/system.js'
import { createTempDirectory, SharedScope } from '../support/temp-dir.js'

const setup = new SharedScope()
let system: System

before(async () => {
  system = await startSystem(setup)
})
after(() => setup.end())

test('the bundle stays until the last tunnel is gone', async (t) => {
  const tokenFile = join(createTempDirectory(t), 'token')
  writeFileSync(tokenFile, TOKEN, { mode: 0o600 })
  const proxy = await initUpstreamProxy({
    environment: { ...system.environment, CCR_SESSION_TOKEN_PATH: tokenFile },
    // The process of the tests itself: it stays as it is.
    dangerouslyAllowInspection: true,
    logSink: () => {},
  })
  assert.ok(proxy.enabled)
  const client = connect(proxy.port, '127.0.0.1')
  client.on('error', () => {})
  client.write(`CONNECT ${PLAIN_HOST}:443 HTTP/1.1\r\nHost: ${PLAIN_HOST}\r\n\r\n`)
  const [answer] = (await once(client, 'data')) as [Buffer]
  assert.match(answer.toString(), /^HTTP\/1\.1 200 /)

  const closed = proxy.close(60_000)
  // A turn in which whatever does not wait for the tunnel would happen.
  await new Promise(setImmediate)
  assert.ok(existsSync(proxy.caBundlePath))
  client.resetAndDestroy()
  await closed
  assert.ok(!existsSync(proxy.caBundlePath))
})
