// Commands that give no secret, as check finds them before the gateway starts.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkGatewayConfig, type GatewayStartError } from 'ccr-upstream-gateway'
import { HOST, startGateway } from './fixture.js'

const bearer = (template: string) => ({
  [HOST]: [{ transform: [{ headers: { authorization: { bearer: template } } }] }],
})

const WRONG_COMMANDS: [args: string[], problem: string, timeoutSeconds?: number][] = [
  [['-e', 'process.exit(3)'], 'the command of key exited with 3'],
  [['-e', ''], 'the command of key printed nothing'],
  [['-e', 'console.log("sentinel-one\\ntwo")'], 'the command of key gives a value that no header may have'],
  [['-e', 'setTimeout(() => {}, 60000)'], 'the command of key did not end within 1000 ms', 1],
]

test('check runs every command, and says line and key of one that fails, never what it printed', async (context) => {
  const gateway = await startGateway(context)
  for (const [args, expected, timeoutSeconds = 30] of WRONG_COMMANDS) {
    const config = gateway.configWith({
      secrets: { key: { command: [process.execPath, ...args], ttlSeconds: 60, timeoutSeconds } },
      hosts: bearer(`\${secret:key}`),
    })
    await assert.rejects(checkGatewayConfig(config), (error: GatewayStartError) => {
      assert.match(error.location, /^test\.json:\d+$/)
      assert.equal(error.key, 'secrets.key')
      assert.ok(error.message.startsWith(expected), error.message)
      return !error.message.includes('sentinel')
    })
  }
})
