// What clients see of interception behind relay and gateway: curl's HTTP/2, the certificates, Python's strict checks.

import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { isInstalled, type Outcome, run } from '../support/cli-process.js'
import { PLAIN_HOST, RULED_HOST, SECRET, SESSION_ID, type System, startSystem } from '../support/system.js'
import { SharedScope } from '../support/temp-dir.js'
import { type RelaySession, startRelaySession } from './relay-session.js'

const setup = new SharedScope()
const [hasCurlHttp2, hasOpenssl, hasPython] = await Promise.all([
  run(setup, 'curl', ['--version'], { env: { PATH: process.env.PATH ?? '' } }).then(
    ({ stdout }) => /\bHTTP2\b/.test(stdout),
    () => false,
  ),
  isInstalled(setup, 'openssl', 'version'),
  isInstalled(setup, 'python3'),
])
const unless = (isThere: boolean, tool: string): string | false => (isThere ? false : `${tool} is not installed`)

const PYTHON_CLIENT = `
import ssl, urllib.request, sys
context = ssl.create_default_context()
context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
for host in sys.argv[1:]:
    print(urllib.request.urlopen('https://' + host + '/', context=context).status)
`

describe('behind relay and gateway', { timeout: 1_800_000 }, () => {
  let system: System
  let session: RelaySession

  before(async () => {
    system = await startSystem(setup)
    session = await startRelaySession(setup, system)
  })
  after(() => setup.end())

  const inSession = (program: string, ...args: string[]): Promise<Outcome> => {
    return run(setup, program, args, { env: session.clientEnv })
  }

  it('curl speaks HTTP/2 to an intercepted host', { skip: unless(hasCurlHttp2, 'curl with HTTP/2') }, async () => {
    const url = `https://${RULED_HOST}/`
    const { exitCode, stdout, stderr } = await inSession('curl', '-sS', '--http2', '-w', '\n%{http_version}', url)
    assert.equal(exitCode, 0, stderr)
    const [body, version] = stdout.split('\n') as [string, string]
    assert.equal(version, '2')
    assert.equal(JSON.parse(body).headers.authorization, `Bearer ${SECRET}`)
  })

  it('openssl sees the origin’s issuer at a host without a rule, and ours at one with', {
    skip: unless(hasOpenssl, 'openssl'),
  }, async () => {
    const issuerOf = async (host: string): Promise<string> => {
      const proxy = ['-proxy', `127.0.0.1:${session.port}`, '-connect', `${host}:443`, '-servername', host]
      const { stdout } = await inSession('sh', '-c', 'openssl s_client "$@" </dev/null', 'sh', ...proxy)
      return /^issuer=(.*)$/m.exec(stdout)?.[1] ?? stdout
    }
    assert.match(await issuerOf(PLAIN_HOST), /CN ?= ?origin root/)
    assert.match(await issuerOf(RULED_HOST), /CN ?= ?interception root/)
  })

  it('Python with VERIFY_X509_STRICT takes both certificates', { skip: unless(hasPython, 'python3') }, async () => {
    const { exitCode, stdout, stderr } = await inSession('python3', '-c', PYTHON_CLIENT, RULED_HOST, PLAIN_HOST)
    assert.equal(exitCode, 0, stderr)
    assert.equal(stdout, '200\n200\n')
  })

  it('the audit says which of them was intercepted', { skip: unless(hasCurlHttp2, 'curl with HTTP/2') }, () => {
    const modes = new Map(system.audit.map((record) => ['host' in record ? record.host : '', record.mode]))
    assert.equal(modes.get(RULED_HOST), 'intercept')
    assert.ok(system.audit.every((record) => record.session === SESSION_ID))
  })
})
