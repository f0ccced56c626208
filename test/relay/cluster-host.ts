// Two workers of node:cluster, each with a relay in its own thread; writes the ports as JSON.

import cluster, { type Worker } from 'node:cluster'
import { once } from 'node:events'
import { startRelay } from '#src/index.js'

async function portOf(worker: Worker): Promise<number> {
  const [port] = (await once(worker, 'message')) as [number]
  return port
}

if (cluster.isPrimary) {
  const workers = [cluster.fork(), cluster.fork()]
  process.stdout.write(JSON.stringify(await Promise.all(workers.map(portOf))))
  for (const worker of workers) worker.process.kill()
} else {
  const tunnelUrl = 'ws://127.0.0.1:9/upstreamproxy/ws'
  const relay = await startRelay({ tunnelUrl, token: 'token', thread: 'main', limits: { maxWarmTunnels: 0 } })
  process.send?.(relay.port)
}
