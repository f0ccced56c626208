// WGETRC: whose lines are in it, and GNU wget with it behind a real relay.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { createWgetrc } from '#src/system/children/files/wgetrc.js'
import { isInstalled } from '../support/cli-process.js'
import { RULED_HOST, SECRET } from '../support/system.js'
import { createTempDirectory, SharedScope } from '../support/temp-dir.js'
import { type FileSession, startFileSession } from './file-session.js'

describe('the wgetrc', () => {
  it('takes the lines of WGETRC along, but for proxy and CA in every spelling', (t) => {
    const file = join(createTempDirectory(t), 'wgetrc')
    const lines = [
      '# mine',
      'tries = 3',
      'ca_certificate=/old',
      ' CA-Certificate = /old',
      'HttpsProxy = http://old',
      'header = Ca_certificate=x',
    ]
    writeFileSync(file, `${lines.join('\r\n')}\r\n`)
    const { text, mode } = createWgetrc({ WGETRC: file }, '/b.pem')
    assert.equal(text, '# mine\ntries = 3\nheader = Ca_certificate=x\nca_certificate = /b.pem\n')
    assert.equal(mode, 0o644)
  })

  it('takes those of ~/.wgetrc where WGETRC is unset or empty', (t) => {
    const HOME = createTempDirectory(t)
    writeFileSync(join(HOME, '.wgetrc'), 'tries = 4')
    assert.equal(createWgetrc({ HOME }, '/b').text, 'tries = 4\nca_certificate = /b\n')
    assert.equal(createWgetrc({ HOME, WGETRC: '' }, '/b').text, 'tries = 4\nca_certificate = /b\n')
  })

  it('is closed to others where the user had closed it', (t) => {
    const file = join(createTempDirectory(t), 'wgetrc')
    writeFileSync(file, 'password = x\n')
    chmodSync(file, 0o600)
    assert.equal(createWgetrc({ WGETRC: file }, '/b').mode, 0o600)
  })

  it('is the CA alone where there is no file, a folder, a FIFO or a file too long', (t) => {
    const folder = createTempDirectory(t)
    mkdirSync(join(folder, 'folder'))
    writeFileSync(join(folder, 'long'), Buffer.alloc(256 * 1024 + 1, '#'))
    execFileSync('mkfifo', [join(folder, 'fifo')])
    for (const name of ['none', 'folder', 'fifo', 'long'])
      assert.equal(createWgetrc({ WGETRC: join(folder, name) }, '/b').text, 'ca_certificate = /b\n', name)
    assert.equal(createWgetrc({}, '/b').text, 'ca_certificate = /b\n')
  })

  it('is the same when an outer relay had written it', (t) => {
    const file = join(createTempDirectory(t), 'wgetrc')
    writeFileSync(file, 'tries = 3\nca_certificate = /outer\n')
    const { text } = createWgetrc({ WGETRC: file }, '/b')
    assert.equal(text, 'tries = 3\nca_certificate = /b\n')
    writeFileSync(file, text)
    assert.equal(createWgetrc({ WGETRC: file }, '/b').text, text)
  })
})

const setup = new SharedScope()
const hasWget = await isInstalled(setup, 'wget')

describe('wget behind the relay', { timeout: 120_000, skip: !hasWget && 'wget is not installed' }, () => {
  let session: FileSession
  before(async () => {
    session = await startFileSession(setup)
  })
  after(() => setup.end())

  const wget = (url: string, WGETRC: string | undefined) => session.run('wget', ['-O-', '--tries=1', url], { WGETRC })
  const url = `https://${RULED_HOST}/wget`
  const put = (name: string, text: string): string => {
    writeFileSync(join(session.directory, name), text)
    return join(session.directory, name)
  }

  it("gets the injected credential, and keeps the user's header", async () => {
    const own = put('own', 'header = X-Mine: kept\nca_certificate = /nowhere\nhttps_proxy = http://127.0.0.1:1\n')
    const { text } = createWgetrc({ WGETRC: own }, session.bundleFile)
    const { exitCode, stdout, stderr } = await wget(url, put('ours', text))
    assert.equal(exitCode, 0, stderr)
    assert.ok(stdout.includes(`Bearer ${SECRET}`), stdout)
    assert.ok(stdout.includes('"x-mine":"kept"'), stdout)
  })

  it('goes past the relay to localhost', async () => {
    const file = put('ours', createWgetrc({}, session.bundleFile).text)
    const { connections } = session.direct
    const { exitCode, stderr } = await wget(`https://localhost:${session.direct.port}/`, file)
    assert.equal(exitCode, 0, stderr)
    assert.equal(session.direct.connections, connections + 1)
  })

  it('does not trust the gateway without the variable', async () => {
    const { exitCode, stderr } = await wget(url, undefined)
    // Some builds read SSL_CERT_FILE through OpenSSL; Debian's is GnuTLS.
    assert.equal(exitCode, 5, stderr)
  })
})
