// APT_CONFIG: apt with it behind a real relay, in folders of its own.

import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { createAptConf } from '#src/system/children/files/apt-conf.js'
import { isInstalled } from '../support/cli-process.js'
import { startOrigin } from '../support/origin.js'
import { INJECTION, SECRET } from '../support/system.js'
import { createTempDirectory, SharedScope } from '../support/temp-dir.js'
import { type FileSession, startFileSession } from './file-session.js'

const HOST = 'deb.example.test'
const PACKAGES =
  'Package: tiny\nVersion: 1.0\nArchitecture: all\nFilename: ./tiny.deb\nSize: 0\nDescription: a package\n\n'

const setup = new SharedScope()
const hasApt = await isInstalled(setup, 'apt-get')

describe('apt behind the relay', { timeout: 1_800_000, skip: !hasApt && 'apt is not installed' }, () => {
  let session: FileSession
  let credentials: (string | undefined)[] = []
  before(async () => {
    const origin = await startOrigin(setup, {
      names: [HOST],
      handler: (request, response) => {
        credentials.push(request.headers.authorization)
        if (request.url === '/./Packages') response.end(PACKAGES)
        else response.writeHead(404).end()
      },
    })
    session = await startFileSession(setup, {
      origins: { [HOST]: origin.address },
      hosts: { [HOST]: INJECTION },
    })
  })
  after(() => setup.end())

  /** What a container may have in APT_CONFIG; apt uses nothing of this machine's. */
  function createOwnConf(): string {
    const folder = createTempDirectory(setup, 'apt')
    for (const name of ['lists/partial', 'cache/archives/partial', 'parts'])
      mkdirSync(join(folder, name), { recursive: true })
    for (const name of ['status', 'main.conf']) writeFileSync(join(folder, name), '')
    writeFileSync(join(folder, 'sources.list'), `deb [trusted=yes] https://${HOST}/ ./\n`)
    const settings = {
      'Dir::State': folder,
      'Dir::State::status': join(folder, 'status'),
      'Dir::Cache': join(folder, 'cache'),
      'Dir::Etc::Parts': join(folder, 'parts'),
      'Dir::Etc::Main': join(folder, 'main.conf'),
      'Dir::Etc::SourceList': join(folder, 'sources.list'),
      'Dir::Etc::SourceParts': join(folder, 'parts'),
      // The test's folders are closed to the user that apt would become.
      'APT::Sandbox::User': 'root',
      'Acquire::Languages': 'none',
      'Acquire::Retries': '0',
    }
    const file = join(folder, 'own.conf')
    writeFileSync(
      file,
      Object.entries(settings)
        .map(([name, value]) => `${name} "${value}";\n`)
        .join(''),
    )
    return file
  }

  it('updates its lists with the injected credential, by the settings that the container had', async () => {
    credentials = []
    const file = join(session.directory, 'apt.conf')
    writeFileSync(file, createAptConf({ APT_CONFIG: createOwnConf() }, session.bundleFile) ?? '')
    const updated = await session.run('apt-get', ['update', '-q'], { APT_CONFIG: file })
    assert.equal(updated.exitCode, 0, updated.stderr + updated.stdout)
    assert.ok(credentials.length > 0 && credentials.every((value) => value === `Bearer ${SECRET}`), String(credentials))
    const { stdout } = await session.run('apt-cache', ['policy', 'tiny'], { APT_CONFIG: file })
    assert.match(stdout, /Candidate: 1\.0/)
  })

  it('does not trust the gateway without the variable', async () => {
    const { stdout, stderr } = await session.run('apt-get', ['update', '-q'], { APT_CONFIG: createOwnConf() })
    assert.match(stdout + stderr, /certificate/i)
  })
})
