// A bundle made from what containers really have: a system bundle with a broken block and a certificate that stands there
// twice, and a CA of the company's in a variable. Every kind of client must accept what each of the roots signed.

import assert from 'node:assert/strict'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { isInstalled, run } from '../support/cli-process.js'
import { originCa, startOrigin } from '../support/origin.js'
import { type EnabledReport, parseWarnings, type Report, startInit } from '../support/proxy-process.js'
import { createSession, PLAIN_HOST, RULED_HOST, type Session, type System, startSystem } from '../support/system.js'
import { createTempDirectory, type Scope, SharedScope } from '../support/temp-dir.js'
import { createTestCa } from '../support/test-ca.js'
import { chooseActor } from '../support/unprivileged.js'

/** Behind the company's own CA. */
const COMPANY_HOST = 'company.example.test'
const BROKEN_BLOCK = '-----BEGIN CERTIFICATE-----\nMIIBroken+block=\n-----END CERTIFICATE-----\n'
const HOSTS = [RULED_HOST, PLAIN_HOST, COMPANY_HOST]

const PYTHON = `
import ssl, sys, urllib.request
context = ssl.create_default_context()
context.verify_flags |= ssl.VERIFY_X509_STRICT
for host in sys.argv[1:]:
    print(urllib.request.urlopen(f'https://{host}/', context=context).status)
`
const GO = `package main

import ("fmt"; "net/http"; "os")

func main() {
	for _, host := range os.Args[1:] {
		answer, err := http.Get("https://" + host + "/")
		if err != nil { fmt.Println(err); os.Exit(1) }
		fmt.Println(answer.StatusCode)
	}
}
`
const NODE = `
const { get } = await import('node:https')
for (const host of process.argv.slice(1))
  await new Promise((resolve, reject) =>
    get({ host, agent: undefined }, (answer) => { console.log(answer.statusCode); answer.resume(); resolve() }).on('error', reject))
`

const setup = new SharedScope()
const actor = chooseActor(setup)
const missing = async (program: string, ...args: string[]): Promise<string | false> =>
  (await isInstalled(setup, program, ...args)) ? false : `${program} is not installed`
const skip = {
  openssl: await missing('openssl', 'version'),
  curl: await missing('curl'),
  python: await missing('python3', '-c', 'import ssl; ssl.VERIFY_X509_STRICT'),
  go: await missing('go', 'version'),
}

describe('a bundle from a container with a past', { timeout: 1_800_000 }, () => {
  let system: System
  let companyRootPem: string
  let systemBundle: string

  before(async () => {
    const company = await createTestCa('company root')
    companyRootPem = company.rootPem
    const origin = await startOrigin(setup, { certificate: await company.serverCertificate(COMPANY_HOST) })
    system = await startSystem(setup, { origins: { [COMPANY_HOST]: origin.address } })
    systemBundle = `# a comment\n${originCa.rootPem}${BROKEN_BLOCK}${originCa.rootPem}`
  })
  after(() => setup.end())

  async function start(t: Scope, under?: readonly string[]) {
    const session = createSession(t, actor, system.environment)
    const put = (name: string, text: string): string => {
      writeFileSync(join(session.directory, name), text, { mode: 0o644 })
      return join(session.directory, name)
    }
    const env = {
      CCR_SYSTEM_CA_BUNDLE: put('system.pem', systemBundle),
      REQUESTS_CA_BUNDLE: put('company.pem', companyRootPem),
      NODE_EXTRA_CA_CERTS: put('extra.pem', companyRootPem),
    }
    const child = startInit(t, actor, session, { env, ...(under === undefined ? {} : { under }) })
    const report = await child.next<Report & EnabledReport>()
    assert.equal(report.enabled, true, child.stderr)
    return { session, child, report }
  }

  /** Runs a client with what the relay exported and nothing else. */
  async function client(t: Scope, report: EnabledReport, session: Session, program: string, args: string[]) {
    const env = { PATH: process.env.PATH, HOME: session.directory, TMPDIR: session.temporary, ...report.env }
    const { exitCode, stdout, stderr } = await run(t, program, args, { env })
    assert.equal(exitCode, 0, `${stdout}${stderr}`)
    return stdout
  }

  it('has each certificate once, and no broken block, of which there is one warning', async (t) => {
    const { report, child } = await start(t)
    const blocks = readFileSync(report.caBundlePath, 'utf8').match(/-----BEGIN CERTIFICATE-----/g) ?? []
    assert.equal(blocks.length, 3)
    assert.ok(!readFileSync(report.caBundlePath, 'utf8').includes('Broken'))
    assert.deepEqual(
      parseWarnings(child.stderr).map(({ code }) => code),
      ['certificate-skipped'],
    )
  })

  it('is accepted by openssl for every host', { skip: skip.openssl }, async (t) => {
    const { report, session } = await start(t)
    for (const host of HOSTS) {
      const target = ['-connect', `${host}:443`, '-servername', host, '-verify_hostname', host]
      const trust = ['-CAfile', report.caBundlePath, '-no-CApath', '-verify_return_error']
      const proxy = ['-proxy', `127.0.0.1:${report.port}`]
      const output = await client(t, report, session, 'openssl', ['s_client', '-brief', ...proxy, ...target, ...trust])
      assert.doesNotMatch(output, /error/)
    }
  })

  it('is accepted by curl for every host', { skip: skip.curl }, async (t) => {
    const { report, session } = await start(t)
    for (const host of HOSTS) {
      const args = ['--silent', '--show-error', '--output', '/dev/null', '--write-out', '%{http_code}']
      assert.equal(await client(t, report, session, 'curl', [...args, `https://${host}/`]), '200')
    }
  })

  it('is accepted by Python with VERIFY_X509_STRICT for every host', { skip: skip.python }, async (t) => {
    const { report, session } = await start(t)
    const output = await client(t, report, session, 'python3', ['-c', PYTHON, ...HOSTS])
    assert.equal(output, '200\n'.repeat(HOSTS.length))
  })

  it('is accepted by Go for every host', { skip: skip.go }, async (t) => {
    const { report, session } = await start(t)
    const file = join(createTempDirectory(t, 'go'), 'main.go')
    writeFileSync(file, GO)
    assert.equal(await client(t, report, session, 'go', ['run', file, ...HOSTS]), '200\n'.repeat(HOSTS.length))
  })

  it('is accepted by Node for the gateway, beside what it trusts by itself', async (t) => {
    const { report, session } = await start(t)
    const args = ['--input-type=module', '-e', NODE, RULED_HOST]
    assert.equal(await client(t, report, session, process.execPath, args), '200\n')
  })

  const skipOther = process.getuid?.() === 0 ? false : 'only root can start a child as somebody else'
  it('can be read by a child of another user, also under umask 077', { skip: skipOther }, async (t) => {
    const { report, session } = await start(t, ['sh', '-c', 'umask 077; exec "$@"', 'sh'])
    // As a container's /tmp is.
    chmodSync(session.directory, 0o755)
    const files = [report.caBundlePath, report.env.NODE_EXTRA_CA_CERTS ?? '', report.env.APT_CONFIG ?? '']
    const ids = { uid: 12_345, gid: 12_345 }
    const { exitCode, stderr } = await run(t, 'cat', files, { ...ids, env: { PATH: process.env.PATH } })
    assert.equal(exitCode, 0, stderr)
  })

  it('is one of its own for each of two relays, and stays when the other goes', async (t) => {
    const [one, other] = await Promise.all([start(t), start(t)])
    assert.notEqual(one.report.caBundlePath, other.report.caBundlePath)
    const text = readFileSync(other.report.caBundlePath, 'utf8')
    await one.child.ask('close')
    assert.equal(readFileSync(other.report.caBundlePath, 'utf8'), text)
    const args = ['--input-type=module', '-e', NODE, RULED_HOST]
    assert.equal(await client(t, other.report, other.session, process.execPath, args), '200\n')
  })
})
