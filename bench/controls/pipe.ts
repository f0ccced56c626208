// Control: two pipes between a client and TLS to the gateway. It frames nothing and understands nothing, so no relay that is
// written in JavaScript can be expected to do with less.

import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { createSecureContext, connect as tlsConnect } from 'node:tls'
import type { RelaySettings } from '../processes/relay-host.js'

export async function start({ gatewayPort, trustedCertificates }: RelaySettings): Promise<number> {
  const secureContext = createSecureContext({ ca: trustedCertificates })
  const server = createServer({ noDelay: true }, (client) => {
    const gateway = tlsConnect({ host: '127.0.0.1', port: gatewayPort, secureContext, ca: trustedCertificates })
    gateway.setNoDelay(true)
    client.pipe(gateway)
    gateway.pipe(client)
    client.on('error', () => gateway.destroy()).on('close', () => gateway.destroy())
    gateway.on('error', () => client.destroy()).on('close', () => client.destroy())
  })
  server.listen({ host: '127.0.0.1', port: 0, backlog: 511 })
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}
