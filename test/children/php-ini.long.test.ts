// PHP_INI_SCAN_DIR: PHP's curl and streams with it behind a real relay.

import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { createPhpIni, extendPhpScanDirectories } from '#src/system/children/files/php-ini.js'
import { isInstalled } from '../support/cli-process.js'
import { RULED_HOST, SECRET } from '../support/system.js'
import { SharedScope } from '../support/temp-dir.js'
import { type FileSession, startFileSession } from './file-session.js'

const setup = new SharedScope()
const hasPhp = await isInstalled(setup, 'php', '-r', 'exit(extension_loaded("curl") ? 0 : 1);')

describe('PHP behind the relay', { timeout: 1_800_000, skip: !hasPhp && 'php with curl is not installed' }, () => {
  let session: FileSession
  let directory = ''
  before(async () => {
    session = await startFileSession(setup)
    directory = join(session.directory, 'php ini')
    mkdirSync(directory)
    writeFileSync(join(directory, 'ca.ini'), createPhpIni(session.bundleFile))
  })
  after(() => setup.end())

  const php = (script: string, PHP_INI_SCAN_DIR: string | undefined) =>
    session.run('php', ['-r', script], { PHP_INI_SCAN_DIR })
  const get = (url: string): string =>
    `$c = curl_init('${url}'); curl_setopt($c, CURLOPT_RETURNTRANSFER, true); echo curl_exec($c), curl_error($c);`

  it('curl gets the injected credential', async () => {
    const list = extendPhpScanDirectories(undefined, directory)
    const { stdout, stderr } = await php(get(`https://${RULED_HOST}/php`), list)
    assert.ok(stdout.includes(`Bearer ${SECRET}`), stdout + stderr)
  })

  it('streams trust the same bundle', async () => {
    const list = extendPhpScanDirectories(undefined, directory)
    const script = `echo file_get_contents('https://localhost:${session.direct.port}/streams');`
    // OpenSSL would read SSL_CERT_FILE by itself.
    const variables = { PHP_INI_SCAN_DIR: list, SSL_CERT_FILE: undefined }
    const { stdout, stderr } = await session.run('php', ['-r', script], variables)
    assert.ok(stdout.includes('"path":"/streams"'), stdout + stderr)
  })

  it('an inherited folder is still read, and does not win', async () => {
    const theirs = join(session.directory, 'theirs')
    mkdirSync(theirs)
    writeFileSync(join(theirs, 'their.ini'), 'precision = 7\ncurl.cainfo = /nowhere\n')
    const list = extendPhpScanDirectories(`:${theirs}`, directory)
    const { stdout, stderr } = await php(`echo ini_get('precision'); ${get(`https://${RULED_HOST}/php`)}`, list)
    assert.ok(stdout.startsWith('7') && stdout.includes(`Bearer ${SECRET}`), stdout + stderr)
  })

  it('a list that is set and empty stays without the compiled-in folder', async () => {
    const list = extendPhpScanDirectories('', directory)
    const { stdout } = await php('echo php_ini_scanned_files();', list)
    assert.equal(stdout.trim(), join(directory, 'ca.ini'))
  })

  it('reads every path as it is', async () => {
    for (const file of [`/it's "here" \\ there`, `/a \${HOME} ; b # c`]) {
      writeFileSync(join(directory, 'path.ini'), createPhpIni(file))
      const { stdout } = await php(`echo ini_get('openssl.cafile');`, directory)
      assert.equal(stdout, file)
    }
    writeFileSync(join(directory, 'path.ini'), '')
  })

  it('does not trust the gateway without the variable', async () => {
    const { stdout } = await php(get(`https://${RULED_HOST}/php`), undefined)
    assert.match(stdout, /certificate/i)
  })
})
