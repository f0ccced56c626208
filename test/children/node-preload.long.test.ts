// The preload: Node versions that ignore HTTPS_PROXY, with it, behind a real relay; and that it leaves all others alone.

import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:http'
import { createRequire } from 'node:module'
import { createServer as createTcpServer } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { isInNoProxy } from '#src/protocol/no-proxy.js'
import { nodeOptions, nodePreloadFile } from '#src/system/children/files/node-options.js'
import { startRelaySession } from '../e2e/relay-session.js'
import { run } from '../support/cli-process.js'
import { listen } from '../support/listening.js'
import { IS_LARGE, runtimes } from '../support/runtimes.js'
import { RULED_HOST, SECRET } from '../support/system.js'
import { SharedScope } from '../support/temp-dir.js'
import { type FileSession, startFileSession } from './file-session.js'
import { fetchNodeVersions, type NodeVersion } from './node-versions.js'

const CLIENT = fileURLToPath(new URL('node-client.js', import.meta.url))
/** Versions whose fetch or node:https ignores NODE_USE_ENV_PROXY, and versions where it works: on both sides of each border. */
const OLD = ['18', '22.20.0', '24.4.1', ...(IS_LARGE ? ['20', '22.0.0', '24.0.0'] : [])]
const NEW = ['22.21.0', '24.5.0', '26', ...(IS_LARGE ? ['22', '24'] : [])]
/** Too old for anything but to start. */
const ANCIENT = ['10', '12', '16']

const setup = new SharedScope()
const [hereMajor = 0, hereMinor = 0] = process.versions.node.split('.').map(Number)
const isHereOld = hereMajor < 22 || (hereMajor === 22 && hereMinor < 21)
const here: NodeVersion = { version: process.versions.node, path: process.execPath, skip: false }
const fetched = await fetchNodeVersions(setup, [...OLD, ...NEW, ...ANCIENT])
const versionsOf = (list: readonly string[], withHere: boolean): NodeVersion[] => [
  ...(withHere ? [here] : []),
  ...fetched.filter(({ version }) => list.includes(version)),
]
const bun = runtimes.find(({ kind }) => kind === 'bun')

describe('the Node preload', { timeout: 1_800_000 }, () => {
  let session: FileSession
  let http: Server
  /** What no proxy brings anybody to: on an address that NO_PROXY does not name. */
  let httpUrl = ''
  before(async () => {
    session = await startFileSession(setup)
    trusting = { NODE_EXTRA_CA_CERTS: session.bundleFile }
    http = createServer((request, response) => {
      if (request.url === '/redirect') response.writeHead(302, { location: `https://${RULED_HOST}/redirected` }).end()
      else response.end(`plain ${request.url}`)
    })
    httpUrl = `http://${(await listen(setup, http, '127.0.0.2')).address}`
  })
  after(() => setup.end())

  const ask = (node: NodeVersion, way: string, url: string, variables: Record<string, string | undefined> = {}) =>
    session.run(node.path ?? '', [CLIENT, way, url], {
      NODE_OPTIONS: nodeOptions(undefined, nodePreloadFile()),
      ...variables,
    })
  const url = `https://${RULED_HOST}/node`
  /** The extra certificates are the gateway's alone. */
  let trusting: Record<string, string> = {}

  for (const node of versionsOf(OLD, isHereOld)) {
    describe(`on Node ${node.version}`, { skip: node.skip }, () => {
      const ways = [
        'https.get',
        'fetch',
        'fetch of a Request',
        'fetch after its machinery was loaded',
        'an upload by fetch',
        'fetch in a worker',
      ]
      for (const way of [...ways, 'https.get in a worker', 'https.get three times over one connection']) {
        it(`${way} gets the injected credential, in silence`, async () => {
          const { stdout, stderr } = await ask(node, way, url)
          assert.ok(stdout.includes(`Bearer ${SECRET}`), stdout)
          assert.equal(stderr, '')
        })
      }

      it('one tunnel carries three requests of an agent that keeps its connections', async () => {
        const { stdout } = await ask(node, 'https.get three times over one connection', url)
        assert.match(stdout, /reused: true\n$/)
      })

      for (const way of ['https.get', 'fetch']) {
        it(`${way} goes past the relay to a host of NO_PROXY`, async () => {
          const { connections } = session.direct
          const { stdout } = await ask(node, way, `https://localhost:${session.direct.port}/past`, trusting)
          assert.ok(stdout.includes('"path":"/past"'), stdout)
          assert.equal(session.direct.connections, connections + 1)
          // No record names it; the gateway would refuse a host of this machine.
          assert.doesNotMatch(JSON.stringify(session.system.audit), /localhost/)
        })

        it(`${way} verifies the certificate`, async () => {
          const { stdout } = await ask(node, way, url, { NODE_EXTRA_CA_CERTS: undefined })
          assert.match(stdout, /^error: (?:SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_\w+)/)
        })

        it(`${way} fails with the reason of a relay that refuses`, async () => {
          const { stdout } = await ask(node, way, 'https://nowhere.example.test/')
          // From 24.0 on fetch has Node's own proxy support, which keeps the reason to itself.
          const isNodesOwn = way === 'fetch' && /^24\./.test(node.version)
          assert.match(
            stdout,
            isNodesOwn
              ? /^error: 0 /
              : /^error: ERR_PROXY_TUNNEL the proxy 127\.0\.0\.1:[0-9]+ answered 5[0-9]{2} .* CONNECT nowhere/,
          )
        })

        it(`${way} does not go past a relay that is gone`, async () => {
          const gone = 'http://127.0.0.1:1'
          const { stdout } = await ask(node, way, url, { HTTPS_PROXY: gone, https_proxy: gone })
          assert.match(stdout, /^error: ECONNREFUSED/)
        })

        it(`${way} is as it was with a proxy address that is none`, async () => {
          const none = { HTTPS_PROXY: '127.0.0.1:1', https_proxy: '::', NODE_USE_ENV_PROXY: undefined, ...trusting }
          const { stdout } = await ask(node, way, `https://localhost:${session.direct.port}/`, none)
          assert.ok(stdout.includes('"path":"/"'), stdout)
        })
      }

      it('http: stays direct', async () => {
        assert.equal((await ask(node, 'http.get', `${httpUrl}/a`)).stdout, 'plain /a\n')
        assert.equal((await ask(node, 'fetch', `${httpUrl}/b`)).stdout, 'plain /b\n')
      })

      it('a redirect from http: to https: goes through the relay', async () => {
        const { stdout } = await ask(node, 'fetch', `${httpUrl}/redirect`)
        assert.ok(stdout.includes(`Bearer ${SECRET}`), stdout)
      })

      it("an agent of the program's own keeps its way", async () => {
        const { stdout } = await ask(node, 'https.get with an agent of its own', url)
        assert.match(stdout, /^error: (?:ENOTFOUND|EAI_AGAIN)/)
      })

      it("a dispatcher of the program's own keeps its way", async () => {
        // From 24.0 on the variable sets a dispatcher by itself.
        const { stdout } = await ask(node, 'fetch with a dispatcher of its own', url, { NODE_USE_ENV_PROXY: undefined })
        assert.match(stdout, /^error: (?:ENOTFOUND|EAI_AGAIN)/)
      })

      it('fetch needs no NODE_USE_ENV_PROXY', async () => {
        const { stdout } = await ask(node, 'fetch', url, { NODE_USE_ENV_PROXY: undefined })
        assert.ok(stdout.includes(`Bearer ${SECRET}`), stdout)
      })

      it('the wait for a proxy that is silent has an end', async (t) => {
        const address = `http://${(await listen(t, createTcpServer())).address}`
        const { stdout } = await ask(node, 'https.get in a hurry', url, {
          HTTPS_PROXY: address,
          https_proxy: address,
        })
        assert.match(stdout, /^error: ERR_PROXY_TUNNEL .* in time/)
      })

      it('a relay below a relay starts with the preload, and serves', async () => {
        const options = { NODE_OPTIONS: nodeOptions(undefined, nodePreloadFile()) }
        const nested = await startRelaySession(setup, session.system, { ...relayVariables(session), ...options })
        const { stdout } = await ask(node, 'fetch', url, { ...nested.clientEnv })
        assert.notEqual(nested.port, session.port)
        assert.ok(stdout.includes(`Bearer ${SECRET}`), stdout)
      })

      it('gets nowhere without the preload', async () => {
        const { stdout } = await ask(node, 'https.get', url, { NODE_OPTIONS: undefined })
        assert.match(stdout, /^error: (?:ENOTFOUND|EAI_AGAIN)/)
      })
    })
  }

  const state = `
    const https = require('https')
    console.log(Object.hasOwn(https.globalAgent, 'createConnection'), fetch.toString().includes('isFirst'))`
  for (const node of versionsOf(NEW, !isHereOld)) {
    it(`leaves Node ${node.version} alone`, { skip: node.skip }, async () => {
      const { stdout, stderr } = await session.run(node.path ?? '', ['-e', state], {
        NODE_OPTIONS: nodeOptions(undefined, nodePreloadFile()),
        // With it Node 22 prints a warning.
        NODE_USE_ENV_PROXY: undefined,
      })
      assert.deepEqual([stdout, stderr], ['false false\n', ''])
    })
  }

  it('leaves Bun alone', { skip: bun === undefined && 'Bun is not installed' }, async () => {
    const { stdout, stderr } = await session.run(bun?.path ?? '', ['--preload', nodePreloadFile(), '-e', state], {})
    assert.deepEqual([stdout, stderr], ['false false\n', ''])
  })

  for (const node of versionsOf(ANCIENT, false)) {
    it(`lets Node ${node.version} start`, { skip: node.skip }, async (t) => {
      const env = { HTTPS_PROXY: 'http://127.0.0.1:1', NODE_OPTIONS: nodeOptions(undefined, nodePreloadFile()) }
      const outcome = await run(t, node.path ?? '', ['-p', '"started"'], { env })
      assert.deepEqual([outcome.stdout, outcome.stderr], ['started\n', ''])
    })
  }
})

describe("the preload's reading of NO_PROXY is the relay's", () => {
  const preload = createRequire(import.meta.url)(nodePreloadFile()) as { isInNoProxy: typeof isInNoProxy }
  const entries = [
    ...['', '*', 'a.test', '.a.test', '*.a.test', 'A.TEST', 'a.test.', 'a.test:443', 'a.test:8443', 'b', '.', ':443'],
    ...[
      '10.1.2.3',
      '10.0.0.0/8',
      '10.1.2.3/31',
      '10.1.2.3/33',
      '10.0.0.0/0',
      '10.0.0.0/8/8',
      '10.0.0.0/',
      '10.*',
      '10.',
    ],
    ...[
      '::1',
      '[::1]',
      '[::1]:443',
      '[::1]:8443',
      'fd00::/8',
      'FD00::1',
      '0:0::1',
      '10.1.2.3:8443',
      'x,a.test',
      'x a.test',
    ],
  ]
  const hosts = ['a.test', 'b.a.test', 'xa.test', 'A.Test', 'a.test.', 'localhost', '10.1.2.3', '10.1.2.2', '11.0.0.1']
  for (const entry of entries) {
    it(`for "${entry}"`, () => {
      for (const host of [...hosts, '::1', 'fd00::1', 'fe80::1']) {
        for (const port of [443, 8443])
          assert.equal(preload.isInNoProxy(entry, host, port), isInNoProxy(entry, host, port), `${host} ${port}`)
      }
    })
  }
})

/** What the relay exports, without the session's own variables. */
function relayVariables({ clientEnv, env }: FileSession): Record<string, string> {
  return Object.fromEntries(Object.entries(clientEnv).filter(([name]) => env[name] === undefined))
}
