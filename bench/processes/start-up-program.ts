// A program that has nothing to do but to import the package and to start the proxy, once, when it is asked; or, as the
// control, to fetch what the proxy fetches and nothing else.

import { readFileSync } from 'node:fs'
import type { Cost, StartUpCosts } from '../start-up.js'
import { serve } from './serve.js'
import { threadCpuMicroseconds } from './usage.js'

async function start(): Promise<StartUpCosts> {
  const [importCost, { initUpstreamProxy }] = await measure(() => import('#src/index.js'))
  const [initCost, proxy] = await measure(() => initUpstreamProxy())
  await proxy.close()
  if (!proxy.enabled && proxy.code !== 'guard-off') throw new Error(`the proxy is off: ${proxy.reason}`)
  return { importCost, initCost }
}

/** The CA over TLS, with a root from a file. */
async function fetchCa({ url, rootFile }: { url: string; rootFile: string }): Promise<Cost> {
  // Not loaded above: it is a part of what the import costs.
  const { get } = await import('node:https')
  const [cost] = await measure(async () => {
    const ca = readFileSync(rootFile)
    await new Promise<void>((resolve, reject) => {
      get(url, { ca }, (response) => response.resume().on('end', resolve).on('error', reject)).on('error', reject)
    })
  })
  return cost
}

async function measure<T>(action: () => Promise<T>): Promise<[Cost, T]> {
  const startedAt = performance.now()
  const all = process.cpuUsage()
  const own = threadCpuMicroseconds(process.pid)
  const result = await action()
  const ownCpuMs = (threadCpuMicroseconds(process.pid) - own) / 1_000
  const { user, system } = process.cpuUsage(all)
  return [{ ms: performance.now() - startedAt, ownCpuMs, cpuMs: (user + system) / 1_000 }, result]
}

serve({ start, fetchCa })
