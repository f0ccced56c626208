// A program that has nothing to do but to import the package and to start the proxy, once, when it is asked.

import type { StartUpTimes } from '../start-up.js'
import { serve } from './serve.js'

async function start(): Promise<StartUpTimes> {
  const importedAt = performance.now()
  const { initUpstreamProxy } = await import('#src/index.js')
  const startedAt = performance.now()
  const cpu = process.cpuUsage()
  await using proxy = await initUpstreamProxy()
  const initMs = performance.now() - startedAt
  const { user, system } = process.cpuUsage(cpu)
  if (!proxy.enabled) throw new Error(`the proxy is off: ${proxy.reason}`)
  return { importMs: startedAt - importedAt, initMs, initCpuMs: (user + system) / 1_000 }
}

serve({ start })
