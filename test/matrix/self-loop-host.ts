// A program that hosts the proxy on whatever runtime runs it: `self-loop-host.js PACKAGE-URL PORT`. It says one JSON line when
// it has started, and one for each line of standard input:
//   stats      the relay's counters
//   fetch URL  fetches it as a program on this runtime does, and says how that ended

import { createInterface } from 'node:readline'

const [, , packageUrl = '', port = ''] = process.argv
const { initUpstreamProxy } = (await import(packageUrl)) as typeof import('ccr-upstream-proxy')
const proxy = await initUpstreamProxy({ port: Number(port) })
say(proxy.enabled ? { enabled: true } : { enabled: false, code: proxy.code, reason: proxy.reason })

function say(message: object): void {
  process.stdout.write(`${JSON.stringify(message)}\n`)
}

async function answer(command: string, url = ''): Promise<object> {
  if (command === 'stats') return proxy.stats() ?? {}
  return fetch(url).then(
    ({ status }) => ({ ended: `with ${status}` }),
    (error) => ({ ended: `without an answer: ${String(error)}` }),
  )
}

for await (const line of createInterface({ input: process.stdin })) {
  const [command = '', url] = line.split(' ')
  say(await answer(command, url))
}
await proxy.close(0)
