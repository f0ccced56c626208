// What the status socket answers is bounded. The socket itself is in status.long.test.ts.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RelayStatistics, TunnelFacts } from '#src/index.js'
import { createStatus } from '#src/relay/status.js'

test('lists are bounded: the hosts with the most tunnels, the tunnels that are open for longest', () => {
  const tunnel = (id: number): TunnelFacts => ({
    id,
    requestId: undefined,
    authority: `host-${id % 1_200}.example:443`,
    host: `host-${id % 1_200}.example`,
    port: 443,
    route: 'gateway',
    state: 'open',
    bytesUp: 1,
    bytesDown: 2,
    ageMs: 5_000 - id,
    dialMs: undefined,
    connectMs: undefined,
    firstByteMs: undefined,
  })
  const statistics = {} as RelayStatistics
  const relay = { state: 'listening', port: 1, uptimeMs: 1, isGatewaySilent: false, statistics } as const
  const status = createStatus(
    relay,
    Array.from({ length: 2_000 }, (_, id) => tunnel(id)),
  )
  assert.equal(status.hosts.length, 1_000)
  assert.deepEqual(status.hosts[0], { host: 'host-0.example', open: 2, bytesUp: 2, bytesDown: 4, oldestMs: 5_000 })
  assert.deepEqual([status.hosts[799]?.open, status.hosts[800]?.open], [2, 1])
  assert.deepEqual([status.tunnels.length, status.tunnels[999]?.id], [1_000, 999])
})
