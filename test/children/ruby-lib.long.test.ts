// RUBYLIB: Ruby's HTTP clients and bundler with it behind a real relay.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { extendRubyLib, rubyLibraryDirectory } from '#src/system/children/files/ruby-lib.js'
import { isInstalled, run } from '../support/cli-process.js'
import { startOrigin } from '../support/origin.js'
import { INJECTION, RULED_HOST, SECRET } from '../support/system.js'
import { createTempDirectory, SharedScope } from '../support/temp-dir.js'
import { type FileSession, startFileSession } from './file-session.js'

const GEM_HOST = 'gems.example.test'

const setup = new SharedScope()
const hasRuby = await isInstalled(setup, 'ruby')
const hasGem = hasRuby && (await isInstalled(setup, 'gem'))
const hasBundler = hasGem && (await isInstalled(setup, 'bundle'))

describe('Ruby behind the relay', { timeout: 1_800_000, skip: !hasRuby && 'ruby is not installed' }, () => {
  let session: FileSession
  before(async () => {
    const files = hasBundler ? await buildGemIndex() : {}
    const origin = await startOrigin(setup, {
      names: [GEM_HOST],
      handler: (request, response) => {
        const file = request.headers.authorization === `Bearer ${SECRET}` ? files[request.url ?? ''] : undefined
        if (file === undefined) response.writeHead(404).end()
        else response.end(file)
      },
    })
    session = await startFileSession(setup, {
      origins: { [GEM_HOST]: origin.address },
      hosts: { [GEM_HOST]: INJECTION },
    })
  })
  after(() => setup.end())

  const lib = extendRubyLib(undefined, rubyLibraryDirectory())
  const ruby = (script: string, RUBYLIB: string | undefined = lib, ...options: string[]) =>
    session.run('ruby', ['-W', ...options, '-e', script], { RUBYLIB })
  const url = `https://${RULED_HOST}/ruby`
  const start = `h = Net::HTTP.start('${RULED_HOST}', 443, use_ssl: true); puts h.get('/ruby').body`

  const ways: Readonly<Record<string, string>> = {
    'Net::HTTP.get': `require 'net/http'; puts Net::HTTP.get(URI('${url}'))`,
    'Net::HTTP.start': `require 'net/http'; ${start}`,
    'net/https': `require 'net/https'; ${start}`,
    'Net::HTTP asked for its proxy before it speaks TLS': `require 'net/http'; h = Net::HTTP.new('${RULED_HOST}', 443); h.proxy?; h.use_ssl = true; puts h.get('/ruby').body`,
    'open-uri': `require 'open-uri'; puts URI.open('${url}').read`,
  }
  for (const [way, script] of Object.entries(ways)) {
    for (const options of [[], ['--disable-gems']]) {
      it(`${[way, ...options].join(' ')} gets the injected credential, without a warning`, async () => {
        const { stdout, stderr } = await ruby(script, lib, ...options)
        assert.ok(stdout.includes(`Bearer ${SECRET}`), stdout + stderr)
        assert.equal(stderr, '')
      })
    }
  }

  it('Net::HTTP goes past the relay to localhost', async () => {
    const { connections } = session.direct
    const { stdout, stderr } = await ruby(
      `require 'net/http'; puts Net::HTTP.get(URI('https://localhost:${session.direct.port}/past'))`,
    )
    assert.ok(stdout.includes('"path":"/past"'), stdout + stderr)
    assert.equal(session.direct.connections, connections + 1)
  })

  it('a proxy of the program, or none, is left to it', async () => {
    const { stdout } = await ruby(`require 'net/http'
      [[], [nil], ['proxy.test', 1]].each { |p| h = Net::HTTP.new('${RULED_HOST}', 443, *p); h.use_ssl = true; p h.proxy_address }
      p Net::HTTP.new('${RULED_HOST}', 80).proxy_address`)
    assert.equal(stdout, '"127.0.0.1"\nnil\n"proxy.test"\nnil\n')
  })

  it('the library path is as it was, and net/http is loaded once', async () => {
    const { stdout } = await ruby(`before = $LOAD_PATH.dup
      p require('net/http'), require('net/http'), $LOAD_PATH == before, $LOADED_FEATURES.grep(/net\\/http\\.rb$/).size`)
    assert.equal(stdout, 'true\nfalse\ntrue\n2\n')
  })

  it('a program without net/http loads nothing of ours', async () => {
    const { stdout } = await ruby(`p $LOADED_FEATURES.any? { |f| f.start_with?('${rubyLibraryDirectory()}') }`)
    assert.equal(stdout, 'false\n')
  })

  it('a folder that is gone harms nobody', async () => {
    const { exitCode, stderr } = await ruby(`require 'net/http'`, extendRubyLib(undefined, '/nowhere'))
    assert.deepEqual([exitCode, stderr], [0, ''])
  })

  it('a path with a space is no obstacle, and a net/http of the container is the one that is loaded', async (t) => {
    const folder = createTempDirectory(t)
    const [ours, theirs] = [join(folder, 'our folder'), join(folder, 'their folder')]
    cpSync(rubyLibraryDirectory(), ours, { recursive: true })
    mkdirSync(join(theirs, 'net'), { recursive: true })
    writeFileSync(join(theirs, 'net/http.rb'), 'puts "theirs"')
    const { stdout, stderr } = await ruby(`require 'net/http'`, extendRubyLib(theirs, ours))
    assert.deepEqual([stdout, stderr], ['theirs\n', ''])
  })

  it('gem starts', { skip: !hasGem && 'gem is not installed' }, async () => {
    const { exitCode, stderr } = await session.run('gem', ['list', '--local'], { RUBYLIB: lib })
    assert.equal(exitCode, 0, stderr)
  })

  it('Net::HTTP gets nowhere without the variable', async () => {
    const { stderr } = await session.run('ruby', ['-e', ways['Net::HTTP.get'] ?? ''], { RUBYLIB: undefined })
    assert.match(stderr, /SocketError|ResolutionError/)
  })

  describe('bundler', { skip: !hasBundler && 'bundler is not installed' }, () => {
    const install = async (RUBYLIB: string | undefined) => {
      const folder = createTempDirectory(setup, 'bundle')
      writeFileSync(join(folder, 'Gemfile'), `source 'https://${GEM_HOST}'\ngem 'tiny-gem'\n`)
      return session.run('bundle', ['install', '--retry=0', '--jobs=1'], {
        RUBYLIB,
        BUNDLE_GEMFILE: join(folder, 'Gemfile'),
        BUNDLE_PATH: join(folder, 'vendor'),
        BUNDLE_SILENCE_ROOT_WARNING: '1',
      })
    }

    it('installs a gem from a server that wants the injected credential', async () => {
      const { exitCode, stdout, stderr } = await install(lib)
      assert.equal(exitCode, 0, stdout + stderr)
      assert.match(stdout, /Installing tiny-gem 1\.0\.0/)
    })

    it('does not without the variable', async () => {
      const { exitCode } = await install(undefined)
      assert.notEqual(exitCode, 0)
    })
  })
})

/** A gem server's compact index with one gem in it: path → content. */
async function buildGemIndex(): Promise<Record<string, Buffer | string>> {
  const folder = createTempDirectory(setup, 'gem')
  writeFileSync(
    join(folder, 'tiny-gem.gemspec'),
    `Gem::Specification.new { |s| s.name = 'tiny-gem'; s.version = '1.0.0'; s.summary = 's'; s.author = 'a'; s.files = [] }`,
  )
  const env = { PATH: process.env.PATH, HOME: folder }
  const { exitCode, stderr } = await run(setup, 'gem', ['build', '-q', 'tiny-gem.gemspec'], { env, cwd: folder })
  assert.equal(exitCode, 0, stderr)
  const gem = readFileSync(join(folder, 'tiny-gem-1.0.0.gem'))
  const info = `---\n1.0.0 |checksum:${createHash('sha256').update(gem).digest('hex')}\n`
  const versions = `created_at: 2026-01-01T00:00:00Z\n---\ntiny-gem 1.0.0 ${createHash('md5').update(info).digest('hex')}\n`
  return { '/versions': versions, '/info/tiny-gem': info, '/gems/tiny-gem-1.0.0.gem': gem }
}
