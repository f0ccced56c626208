// An agent host: it lives as long as the session, and everything that its agent starts goes through the proxy. It runs on
// Node and on Bun. The proxy comes first: nothing of the agent is loaded before the token has left the disk.

import { subscribe } from 'node:diagnostics_channel'
import { initUpstreamProxy } from 'ccr-upstream-proxy'

const stopping = new AbortController()
// The first signal ends the host in order, a second one at once.
for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => stopping.abort())
logTunnels()

// It never throws: where the proxy cannot start, the session goes on without it, and the log says why.
const proxy = await initUpstreamProxy()
if (proxy.enabled) log(`the proxy listens on ${proxy.proxyUrl}`)
else log(`no proxy [${proxy.code}]: ${proxy.reason}; ${proxy.hint}`)

// What is imported at the top of a file runs before the file does, so the agent is imported here.
const { runAgent } = await import('./agent.js')
await runAgent({
  signal: stopping.signal,
  // With the variables for proxy and CA, or as it is where there is no proxy.
  toolEnvironment: () => proxy.childEnvironment(),
})
// No tool is left that a tunnel could serve, so that there is nothing to wait for.
await proxy.close(0)
log('closed')

/** The relay tells of every tunnel on node:diagnostics_channel. */
function logTunnels() {
  const at = 'ccr-upstream-proxy:tunnel:'
  subscribe(`${at}established`, ({ authority }) => log(`tunnel to ${authority}`))
  subscribe(`${at}close`, ({ authority, bytesUp, bytesDown, code }) =>
    log(`end of ${authority}: ${bytesUp} bytes up, ${bytesDown} down${code === undefined ? '' : ` (${code})`}`),
  )
  subscribe(`${at}refuse`, ({ authority, code = 'by the gateway' }) => log(`refused ${authority}: ${code}`))
}

function log(message) {
  process.stderr.write(`agent-host: ${message}\n`)
}
