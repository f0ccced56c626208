// A program that has the proxy inside of it: library-host.js PACKAGE-URL [signal-first | as-relay]
// It says what came of it as the command line does, and then answers one word a line from standard input. It imports
// nothing of the tests, for it may run from a copy.

import { createInterface } from 'node:readline'
import { inspect } from 'node:util'

const [, , packageUrl = '', mode] = process.argv
const { initUpstreamProxy } = (await import(packageUrl)) as typeof import('ccr-upstream-proxy')

// The debugger is opened by a thread of Node's, a moment after the signal.
if (mode === 'signal-first') process.kill(process.pid, 'SIGUSR1')
const thread = process.env.CCR_TEST_THREAD as 'worker' | 'main' | undefined
const proxy = await initUpstreamProxy(thread === undefined ? {} : { thread })

function say(answer: object): void {
  process.stdout.write(`${JSON.stringify(answer)}\n`)
}

/** Everything that a program can make of what it got. */
function shown(value: unknown): string[] {
  const thrown = Object.assign(new Error(`${value}`), { value })
  return [
    inspect(value, { depth: 10, showHidden: true, getters: true }),
    inspect(thrown, { depth: 10, showHidden: true }),
    JSON.stringify(value) ?? '',
    `${value}`,
  ]
}

/** A token of its own, from a file that lies there anew; and the errors of one that was wiped or refused. */
async function showToken(): Promise<string[]> {
  const { loadAddon } = (await import(new URL('addon.js', packageUrl).href)) as typeof import('#src/addon.js')
  const { readSessionToken } = (await import(
    new URL('system/token.js', packageUrl).href
  )) as typeof import('#src/system/token.js')
  const { createLogger } = (await import(packageUrl)) as typeof import('ccr-upstream-proxy')
  const { addon } = loadAddon()
  return [addon, undefined].flatMap((implementation) => {
    const token = readSessionToken(process.env.CCR_ATTACK_SECOND_TOKEN ?? '', implementation, createLogger('debug'))
    const held = shown(token)
    token.wipe()
    try {
      return token.withToken(() => held)
    } catch (error) {
      return [...held, ...shown(error), String((error as Error).stack)]
    }
  })
}

const { enabled, port, env } = proxy
say(enabled ? { enabled, port, env } : { enabled, code: proxy.code, reason: proxy.reason })
if (mode === 'as-relay') {
  if (!enabled) process.exit(3)
  process.once('SIGTERM', () => proxy.close().then(() => process.exit(0)))
}
for await (const command of createInterface({ input: process.stdin })) {
  if (command === 'show') say(shown(proxy))
  if (command === 'show-token') say(await showToken())
}
await proxy.close()
