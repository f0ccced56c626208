// Every way in which the start can fail: the proxy stays off with a code and a hint, says so once, and leaves everything as
// it was; the session's command runs as it would have without the proxy.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, linkSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { type CaServer, startCaServer } from '../support/ca-server.js'
import { run } from '../support/cli-process.js'
import { freePort, listen } from '../support/listening.js'
import { type DisabledReport, parseWarnings, type Report, startInit } from '../support/proxy-process.js'
import { createSession, type Session, type System, startSystem, TOKEN } from '../support/system.js'
import { type Scope, SharedScope } from '../support/temp-dir.js'
import { type Actor, chooseActor, listTree } from '../support/unprivileged.js'

interface Surroundings {
  readonly actor: Actor
  readonly system: System
  readonly caServer: CaServer
  readonly elsewhere: CaServer
}

/** What goes over the session's environment; undefined takes a variable away. */
type Variables = Record<string, string | undefined>

interface Failure {
  readonly title: string
  readonly code: string
  /** Spoils the session. */
  readonly spoil: (session: Session, surroundings: Surroundings) => Variables | Promise<Variables>
  /** Why root would not see it fail. */
  readonly needsOrdinaryUser?: string
}

/** A change of the session's files alone. */
function files(spoil: (session: Session, surroundings: Surroundings) => void): Failure['spoil'] {
  return (session, surroundings) => {
    spoil(session, surroundings)
    return {}
  }
}

function token(content: string): Failure['spoil'] {
  return files(({ tokenFile }) => writeFileSync(tokenFile, content))
}

function caAnswer(name: string): Failure['spoil'] {
  return (_session, { caServer }) => ({ CCR_UPSTREAM_PROXY_URL: `${caServer.url}/${name}` })
}

function variables(values: Variables): Failure['spoil'] {
  return () => values
}

const FAILURES: readonly Failure[] = [
  // It takes the ten seconds of the limit; the others run beside it.
  { title: 'the CA never comes', code: 'ca-timeout', spoil: caAnswer('silent') },
  { title: 'the token is missing', code: 'token-missing', spoil: files(({ tokenFile }) => rmSync(tokenFile)) },
  {
    title: 'the token is a FIFO',
    code: 'token-unsafe',
    spoil: files(({ tokenFile }, { actor }) => {
      rmSync(tokenFile)
      assert.equal(spawnSync('mkfifo', ['-m', '600', tokenFile]).status, 0)
      actor.own(tokenFile)
    }),
  },
  {
    title: 'the token is a symbolic link',
    code: 'token-linked',
    spoil: files(({ directory, tokenFile }) => {
      renameSync(tokenFile, join(directory, 'elsewhere'))
      symlinkSync('elsewhere', tokenFile)
    }),
  },
  {
    title: 'the token has a second link',
    code: 'token-unsafe',
    spoil: files(({ directory, tokenFile }) => linkSync(tokenFile, join(directory, 'second'))),
  },
  {
    title: 'others may write the token',
    code: 'token-unsafe',
    spoil: files(({ tokenFile }) => chmodSync(tokenFile, 0o620)),
  },
  { title: 'the token has a newline inside', code: 'token-malformed', spoil: token(`${TOKEN}\nX-Evil: 1\n`) },
  { title: 'the token is empty', code: 'token-empty', spoil: token('\n') },
  { title: 'the token has 17 KiB', code: 'token-malformed', spoil: token('t'.repeat(17 * 1024)) },
  {
    title: 'the token cannot be read',
    code: 'token-unreadable',
    spoil: files(({ tokenFile }) => chmodSync(tokenFile, 0)),
    needsOrdinaryUser: 'root reads every file',
  },
  {
    title: 'the gateway is down',
    code: 'gateway-unreachable',
    spoil: async () => ({ CCR_UPSTREAM_PROXY_URL: `http://127.0.0.1:${await freePort()}` }),
  },
  {
    title: "the gateway's certificate comes from an unknown CA",
    code: 'gateway-tls-failed',
    spoil: variables({ CCR_UPSTREAM_PROXY_GATEWAY_CA: undefined }),
  },
  {
    title: "the gateway's certificate comes from an unknown CA and Node is told not to care",
    code: 'gateway-tls-failed',
    spoil: variables({
      CCR_UPSTREAM_PROXY_GATEWAY_CA: undefined,
      NODE_TLS_REJECT_UNAUTHORIZED: '0',
      NODE_NO_WARNINGS: '1',
    }),
  },
  { title: 'the CA is not found', code: 'ca-refused', spoil: caAnswer('not-found') },
  { title: 'the CA is a web page', code: 'ca-invalid', spoil: caAnswer('html') },
  { title: 'the CA is too large', code: 'ca-invalid', spoil: caAnswer('large') },
  { title: 'the CA is a leaf', code: 'ca-invalid', spoil: caAnswer('leaf') },
  { title: 'the CA has expired', code: 'ca-invalid', spoil: caAnswer('expired') },
  { title: 'the CA moved to another origin', code: 'ca-redirected', spoil: caAnswer('elsewhere') },
  {
    title: 'the base is no URL',
    code: 'config-invalid',
    spoil: variables({ CCR_UPSTREAM_PROXY_URL: 'gateway' }),
  },
  {
    title: 'the base is http:// on another machine',
    code: 'config-invalid',
    spoil: variables({ CCR_UPSTREAM_PROXY_URL: 'http://192.0.2.1/' }),
  },
  {
    title: 'the base holds a password',
    code: 'config-invalid',
    spoil: (_session, { system }) => ({
      CCR_UPSTREAM_PROXY_URL: system.gateway.url.replace('://', '://user:password@'),
    }),
  },
  {
    title: 'the session id has a colon',
    code: 'config-invalid',
    spoil: variables({ CLAUDE_CODE_REMOTE_SESSION_ID: 'session:1' }),
  },
  {
    title: 'the gateway CA file is missing',
    code: 'config-invalid',
    spoil: variables({ CCR_UPSTREAM_PROXY_GATEWAY_CA: '/nonexistent/ca.pem' }),
  },
  {
    title: 'the temporary folder cannot be written',
    code: 'bundle-unwritable',
    spoil: files(({ temporary }) => chmodSync(temporary, 0o500)),
    needsOrdinaryUser: 'root writes everywhere',
  },
]

describe('a failing start', { concurrency: 4, timeout: 1_800_000 }, () => {
  const scope = new SharedScope()
  const actor = chooseActor(scope)
  let surroundings: Surroundings

  before(async () => {
    const elsewhere = await startCaServer(scope)
    const caServer = await startCaServer(scope, elsewhere.url)
    surroundings = { actor, system: await startSystem(scope), caServer, elsewhere }
  })
  after(() => scope.end())

  async function initIn(t: Scope, session: Session, env: Variables) {
    const child = startInit(t, actor, session, { env })
    const report = await child.next<Report & DisabledReport>()
    child.endInput()
    return { report, ended: await child.ended }
  }

  for (const { title, code, spoil, needsOrdinaryUser } of FAILURES) {
    const skip = needsOrdinaryUser !== undefined && actor.isRoot ? needsOrdinaryUser : false
    it(`is ${code} when ${title}`, { skip }, async (t) => {
      const session = createSession(t, actor, surroundings.system.environment)
      const env = { ...session.env, ...(await spoil(session, surroundings)) }
      const before = listTree(session.directory)

      const [{ report, ended }, command] = await Promise.all([
        initIn(t, session, env),
        run(t, actor.nodeFile, [actor.cliFile, 'run', '--', 'sh', '-c', 'echo "<$HTTPS_PROXY>"; exit 42'], {
          ...actor.ids,
          cwd: session.directory,
          env,
        }),
      ])
      assert.equal(report.code, code)
      assert.equal(report.enabled, false)
      assert.deepEqual(report.env, {})
      assert.deepEqual(report.listening, [])
      assert.deepEqual(parseWarnings(ended.stderr), [{ code, message: report.reason, hint: report.hint }])
      assert.equal(ended.exitCode, 0, 'the program did not end by itself')
      assert.equal(command.exitCode, 42)
      assert.equal(command.stdout, '<>\n', 'the command was sent to a proxy that is not there')
      assert.deepEqual(parseWarnings(command.stderr), parseWarnings(ended.stderr))
      assert.deepEqual(listTree(session.directory), before)
    })
  }

  it('is listen-failed when the port is taken', async (t) => {
    const { port } = await listen(t, createServer())
    const session = createSession(t, actor, surroundings.system.environment)
    const before = listTree(session.directory)
    const child = startInit(t, actor, session, { options: { port } })
    const report = await child.next<Report & DisabledReport>()
    child.endInput()
    const { stderr } = await child.ended
    assert.equal(report.code, 'listen-failed')
    assert.deepEqual(parseWarnings(stderr), [{ code: 'listen-failed', message: report.reason, hint: report.hint }])
    assert.deepEqual(report.listening, [])
    assert.deepEqual(listTree(session.directory), before)
  })
})

describe('a redirect of the CA', { timeout: 1_800_000 }, () => {
  it('is followed within the origin and not asked for elsewhere', async (t) => {
    const actor = chooseActor(t)
    const elsewhere = await startCaServer(t)
    const caServer = await startCaServer(t, elsewhere.url)
    const codes = []
    for (const name of ['moved', 'elsewhere']) {
      const session = createSession(t, actor, {
        CLAUDE_CODE_REMOTE: '1',
        CCR_UPSTREAM_PROXY_ENABLED: '1',
        CCR_UPSTREAM_PROXY_URL: `${caServer.url}/${name}`,
      })
      const child = startInit(t, actor, session)
      const report = await child.next<Report>()
      codes.push(report.enabled ? 'enabled' : report.code)
    }
    assert.deepEqual(codes, ['enabled', 'ca-redirected'])
    assert.deepEqual(elsewhere.requests, [])
  })
})
