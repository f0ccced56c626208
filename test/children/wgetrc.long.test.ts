// WGETRC: GNU wget with it behind a real relay.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { createWgetrc } from '#src/system/children/files/wgetrc.js'
import { isInstalled } from '../support/cli-process.js'
import { RULED_HOST, SECRET } from '../support/system.js'
import { SharedScope } from '../support/temp-dir.js'
import { type FileSession, startFileSession } from './file-session.js'

const setup = new SharedScope()
const hasWget = await isInstalled(setup, 'wget')

describe('wget behind the relay', { timeout: 1_800_000, skip: !hasWget && 'wget is not installed' }, () => {
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
