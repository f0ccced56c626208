// One host, two clients: git with Basic and an API's client with Bearer, through relay and gateway by one config. Neither
// has the credential; each request carries it in the form of its own.

import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { isInstalled, run } from '../support/cli-process.js'
import { startGitOrigin } from '../support/git-origin.js'
import { SECRET, startSystem } from '../support/system.js'
import { createTempDirectory, SharedScope } from '../support/temp-dir.js'
import { startRelaySession } from './relay-session.js'

const HOST = 'git.example.test'
const setup = new SharedScope()
const hasTools = (await isInstalled(setup, 'git', 'http-backend', '--help')) && (await isInstalled(setup, 'curl'))
await setup.end()

const RULES = [
  {
    match: { scheme: 'basic' },
    transform: [{ headers: { authorization: { basic: { user: 'x-access-token', password: `\${env:API_SECRET}` } } } }],
  },
  { match: { scheme: 'bearer' }, transform: [{ headers: { authorization: { bearer: `\${env:API_SECRET}` } } }] },
]

test('git clone with Basic and an API call with Bearer to the same host work by one config', {
  skip: !hasTools && 'git http-backend and curl are not installed',
  timeout: 1_800_000,
}, async (context) => {
  const projectRoot = createTempDirectory(context, 'git')
  const git = async (...args: string[]) => {
    const { exitCode, stderr } = await run(context, 'git', args, { env: { PATH: process.env.PATH, HOME: projectRoot } })
    assert.equal(exitCode, 0, stderr)
  }
  const work = join(projectRoot, 'work')
  mkdirSync(work)
  await git('init', '-q', '-b', 'main', work)
  writeFileSync(join(work, 'README'), 'a project\n')
  await git('-C', work, 'add', '.')
  await git('-C', work, '-c', 'user.name=t', '-c', 'user.email=t@t', 'commit', '-qm', 'first')
  await git('clone', '-q', '--bare', work, join(projectRoot, 'project.git'))
  const origin = await startGitOrigin(context, {
    host: HOST,
    projectRoot,
    authorization: `Basic ${Buffer.from(`x-access-token:${SECRET}`).toString('base64')}`,
    answersFirst: (request, response) => {
      if (request.url?.startsWith('/api/') !== true) return false
      response.writeHead(request.headers.authorization === `Bearer ${SECRET}` ? 200 : 401).end('the API')
      return true
    },
  })
  const system = await startSystem(context, { origins: { [HOST]: origin }, hosts: { [HOST]: RULES } })
  const session = await startRelaySession(context, system)
  const inSession = (program: string, ...args: string[]) => {
    return run(context, program, args, { env: session.clientEnv, cwd: session.directory })
  }
  const cloned = await inSession('git', 'clone', `https://me:placeholder@${HOST}/project.git`, 'clone')
  assert.equal(cloned.exitCode, 0, cloned.stderr)
  assert.equal(readFileSync(join(session.directory, 'clone/README'), 'utf8'), 'a project\n')
  const url = `https://${HOST}/api/repos`
  const called = await inSession('curl', '-sS', '--fail', '-H', 'Authorization: Bearer placeholder', url)
  assert.deepEqual([called.exitCode, called.stdout], [0, 'the API'], called.stderr)
  const rules = system.audit.flatMap((record) => ('rule' in record ? [record.rule] : []))
  assert.deepEqual(new Set(rules), new Set([`${HOST}[0]`, `${HOST}[1]`]))
})
