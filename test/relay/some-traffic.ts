// Traffic that leaves something in each kind of figure.

import type { RelayStatistics } from '#src/index.js'
import type { RelayFixture } from './fixture.js'

/** The figures after one tunnel, one refusal by the relay and one by the gateway. */
export async function someTraffic(fixture: RelayFixture): Promise<RelayStatistics> {
  const { client, tunnel } = await fixture.open()
  client.write('up')
  await tunnel.take(2)
  tunnel.send('down')
  tunnel.close(1000)
  await client.ended
  client.endWriting()
  const plain = await fixture.connect()
  plain.write('GET / HTTP/1.1\r\nHost: h.example\r\n\r\n')
  await plain.takeOnlyAnswer()
  plain.endWriting()
  const denied = await fixture.dial()
  denied.tunnel.send('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n')
  denied.tunnel.close(1000)
  await denied.client.takeOnlyAnswer()
  denied.client.endWriting()
  await fixture.relay.tunnels(0)
  return fixture.relay.stats()
}
