// Tunnels handed to a CONNECT proxy that is there already: mitmproxy, which intercepts and injects, and Squid, which lets
// pass by session and password. Both are the real programs of Debian.

import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { isInstalled } from '../support/cli-process.js'
import { startSquid } from '../support/installed-proxies.js'
import { originCa } from '../support/origin.js'
import { startProgram } from '../support/program.js'
import { SharedScope } from '../support/temp-dir.js'
import { CREDENTIALS, HOST, requestOver, responseOf, startGateway, textOf } from './fixture.js'
import { startTls } from './wire-client.js'

const scope = new SharedScope()
const hasMitmproxy = await isInstalled(scope, 'mitmdump')
const hasSquid = await isInstalled(scope, '/usr/sbin/squid', '-v')
await scope.end()

/** The forwarding is configured by a reload, because the proxy needs the folder of the gateway to start. */
const FORWARD = { upstream: { allowPorts: [443] } }

/** Injects at the first moment at which the head of a request is there, by the session of the CONNECT. */
const ADDON = `
import mitmproxy.http

SESSIONS = {}

class Inject:
    def load(self, loader):
        loader.add_option("origin_port", int, 0, "where the origin is")

    def http_connect(self, flow: mitmproxy.http.HTTPFlow):
        SESSIONS[flow.client_conn.id] = flow.request.headers.get("X-Ccr-Session")

    def server_connect(self, data):
        from mitmproxy import ctx
        data.server.address = ("127.0.0.1", ctx.options.origin_port)

    def requestheaders(self, flow: mitmproxy.http.HTTPFlow):
        session = SESSIONS.get(flow.client_conn.id)
        flow.request.headers["Authorization"] = "Bearer injected-for-" + str(session)

addons = [Inject()]
`

test('mitmproxy gets the tunnel and the session, injects, and its CA is what /ca-cert serves', {
  skip: !hasMitmproxy && 'mitmdump is not installed (Debian: mitmproxy)',
  timeout: 1_800_000,
}, async (context) => {
  const gateway = await startGateway(context, { rules: {}, files: { 'inject.py': ADDON } })
  const { match } = await startProgram(
    context,
    [
      'mitmdump',
      ...['--listen-host', '127.0.0.1', '--listen-port', '0', '-s', 'inject.py'],
      ...[
        '--set',
        'confdir=mitm',
        '--set',
        'ssl_verify_upstream_trusted_ca=root.pem',
        '--set',
        'connection_strategy=lazy',
      ],
      ...['--set', `origin_port=${gateway.origin.port}`],
    ],
    { cwd: gateway.folder, ready: /listening at (?:http:\/\/)?\S+:(\d+)/, stopSignal: 'SIGKILL' },
  )
  const forward = `http://127.0.0.1:${match[1]}`
  await gateway.reload({ ...FORWARD, forward, ca: { certificate: 'mitm/mitmproxy-ca-cert.pem' } })
  const served = await fetch(`${gateway.url}/upstreamproxy/ca-cert`)
  assert.equal(
    (await served.text()).trim(),
    readFileSync(join(gateway.folder, 'mitm/mitmproxy-ca-cert.pem'), 'utf8').trim(),
  )
  const fields = await gateway.fieldsSeen({ headers: { authorization: 'Bearer mine' } })
  assert.equal(fields.authorization, `Bearer injected-for-${CREDENTIALS.session}`)
  const [record] = await gateway.untilRecords(1)
  assert.deepEqual([record?.mode, record?.mode === 'tunnel' && record.host], ['tunnel', HOST])
})

const squidAccess = (folder: string) => [
  `acl session req_header X-Ccr-Session ^${CREDENTIALS.session}$`,
  'acl denied dstdomain other.example.com',
  'http_access deny denied',
  'http_access allow CONNECT session known',
  `hosts_file ${folder}/hosts`,
]

async function startSessionSquid(context: TestContext, folder: string): Promise<number> {
  // `openssl passwd -apr1` of "p:ss word".
  writeFileSync(join(folder, 'passwords'), 'gateway:$apr1$ccrccrcc$VjqpRITDkImpMf8LxOr1b0\n')
  writeFileSync(join(folder, 'hosts'), '127.0.0.1 api.example.com plain.example.com other.example.com\n')
  const auth = `/usr/lib/squid/basic_ncsa_auth ${folder}/passwords`
  return startSquid(context, folder, { auth, access: squidAccess(folder) })
}

test('Squid gets the session and the credential; what it denies is 403, wrong credentials are 502', {
  skip: !hasSquid && 'squid is not installed (Debian: squid)',
  timeout: 1_800_000,
}, async (context) => {
  const gateway = await startGateway(context, { rules: {} })
  const proxyPort = await startSessionSquid(context, gateway.folder)
  const originPort = gateway.origin.port
  const forwardTo = (password: string) =>
    gateway.configWith({
      ca: { certificate: 'ca.pem' },
      upstream: { allowPorts: [originPort] },
      forward: { proxy: `http://127.0.0.1:${proxyPort}`, user: 'gateway', password },
    })
  await gateway.running.reload(forwardTo('p:ss word'))
  const { stream, status, text } = await gateway.openTunnel(`${HOST}:${originPort}`)
  assert.equal(status, 200, text)
  const socket = await startTls(stream, originCa.rootPem, HOST)
  const request = requestOver(socket, { headers: { connection: 'close' } })
  request.end()
  assert.equal(JSON.parse(await textOf(await responseOf(request))).headers.host, HOST)
  const denied = await gateway.openTunnel(`other.example.com:${originPort}`)
  assert.deepEqual([denied.status, denied.text.includes('"forward-denied"')], [403, true])
  await gateway.running.reload(forwardTo('wrong'))
  const wrong = await gateway.openTunnel(`${HOST}:${originPort}`)
  assert.deepEqual([wrong.status, wrong.text.includes('"forward-failed"')], [502, true])
  assert.match(wrong.text, /answered 407/)
})
