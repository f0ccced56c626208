// A gateway in a process of its own that opens every tunnel to echo.example and sends everything back. Its first line of
// output is a GatewayAddress as JSON. It ends when its input does, so that it cannot outlive the test.

import { startWireGateway, type WireGateway } from '../support/wire-gateway.js'

/** What a relay needs to know of it. */
export type GatewayAddress = Pick<WireGateway, 'url' | 'rootPem'>

const gateway = await startWireGateway()
gateway.scripts.set('echo.example', (tunnel) => {
  tunnel.open()
  return tunnel.echo()
})
const { url, rootPem } = gateway
process.stdout.write(`${JSON.stringify({ url, rootPem } satisfies GatewayAddress)}\n`)
process.stdin.on('close', () => process.exit(0)).resume()
