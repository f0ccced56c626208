// What the fuzz suite puts into the gateway's process before its program: it answers how much memory is in use, and how many tunnels are
// in it, ended ones that something holds included. Load it with --import into a process that fork() starts with --expose-gc and
// --disable-warning=ExperimentalWarning. It keeps nothing running.

import { queryObjects } from 'node:v8'
import { Tunnel } from '#gateway/server/tunnel.js'

export interface MemoryReport {
  /** Of V8's heap and outside it, after garbage was collected. */
  readonly usedBytes: number
  readonly residentBytes: number
  readonly tunnels: number
}

process.on('message', () => {
  // What finalizers let go of in the first round is collected in the second.
  globalThis.gc?.()
  setImmediate(() => {
    globalThis.gc?.()
    const { heapUsed, external, rss } = process.memoryUsage()
    const tunnels = queryObjects(Tunnel as unknown as new () => Tunnel) as number
    process.send?.({ usedBytes: heapUsed + external, residentBytes: rss, tunnels } satisfies MemoryReport)
  })
})
process.channel?.unref()
