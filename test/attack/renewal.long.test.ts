// The token's file is written anew while the proxy runs, by the orchestrator or by a hostile process of the same user: new tunnels
// have the new token, no request fails meanwhile, what the gateway does not take changes nothing, and nobody sees any of them.
// Costs 14 s of CPU.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, renameSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { after, it } from 'node:test'
import { hashToken } from 'ccr-upstream-gateway'
import { refusalOf, Stage, TOKEN_FORMS } from '../support/attack.js'
import { requestThroughTunnel } from '../support/connect-client.js'
import { type EnabledReport, ProxyProcess, parseWarnings, type Report } from '../support/proxy-process.js'
import { describeOnEachRuntime } from '../support/runtimes.js'
import { createSession, RULED_HOST, SESSION_ID, type Session, startSystem } from '../support/system.js'
import { SharedScope } from '../support/temp-dir.js'
import { chooseActor } from '../support/unprivileged.js'

const PROGRAM = new URL('../support/proxy-program.js', import.meta.url)

/** The tokens after the first one; with each the gateway refuses the host of its name. */
const RENEWED = { second: 'sentinel-second.0123456789abcdef', third: 'sentinel-third.0123456789abcdef' }
const FOREIGN = 'sentinel-foreign.0123456789abcdef'
const NEEDLES = [...TOKEN_FORMS, ...Object.values(RENEWED), FOREIGN]

const setup = new SharedScope()
after(() => setup.end())
const names = Object.keys(RENEWED) as (keyof typeof RENEWED)[]
const system = await startSystem(setup, {
  sessions: [
    ...names.map((name) => ({ id: SESSION_ID, tokenSha256: hashToken(RENEWED[name]), policy: name })),
    { id: 'of-another', tokenSha256: hashToken(FOREIGN) },
  ],
  policies: Object.fromEntries(names.map((name) => [name, { deny: [`${name}.invalid`] }])),
})
const stage = new Stage(setup, chooseActor(setup), system)
const isLinux = process.platform === 'linux'

function write({ tokenFile }: Session, content: string): void {
  writeFileSync(`${tokenFile}.new`, content, { mode: 0o600 })
  stage.actor.own(`${tokenFile}.new`)
  renameSync(`${tokenFile}.new`, tokenFile)
}

/** What is no token of this session, and what is said of it. */
const HOSTILE: readonly (readonly [RegExp, (session: Session) => void])[] = [
  [/\[token-not-renewed\] .* answered the upgrade with 401; /, (session) => write(session, 'no-token-of-this-gateway')],
  [/\[token-malformed\] /, (session) => write(session, 'no token\nat all')],
  [
    /\[token-linked\] /,
    ({ tokenFile }) => {
      unlinkSync(tokenFile)
      symlinkSync('/dev/zero', tokenFile)
    },
  ],
  [
    /\[token-unsafe\] /,
    ({ tokenFile }) => {
      unlinkSync(tokenFile)
      assert.equal(spawnSync('mkfifo', [tokenFile]).status, 0)
    },
  ],
]

async function assertUsable(proxyUrl: string): Promise<void> {
  const url = `https://${RULED_HOST}/`
  assert.equal((await requestThroughTunnel({ proxyUrl, url, ca: system.gateway.caCertificatePem })).status, 200)
}

async function isUsed(proxyUrl: string, name: string): Promise<boolean> {
  const port = Number(new URL(proxyUrl).port)
  return /"code":"policy-denied"/.test(await refusalOf({ port }, `${name}.invalid:443`))
}

/** Whatever comes meanwhile is answered. */
async function untilUsed({ tokenFile }: Session, proxyUrl: string, name: string): Promise<void> {
  do await assertUsable(proxyUrl)
  while (!(await isUsed(proxyUrl, name)))
  assert.ok(!existsSync(tokenFile))
}

/** KiB of the process that are locked into memory: on Linux the pages of tokens, and nothing else. */
function lockedKib(pid: number): number {
  return Number(/^VmLck:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1])
}

describeOnEachRuntime('a token that is written anew', (runtime) => {
  for (const thread of ['worker', 'main'])
    it(`is that of new tunnels, and nobody sees it: ${thread}`, async (t) => {
      const session = createSession(t, stage.actor, system.environment)
      const args = [stage.actor.programFile(PROGRAM), stage.actor.packageUrl, JSON.stringify({ thread })]
      const child = new ProxyProcess(t, await stage.binaryOf(runtime), args, {
        ...stage.actor.ids,
        cwd: session.directory,
        env: session.env,
      })
      const { proxyUrl, enabled } = await child.next<Report & EnabledReport>()
      assert.equal(enabled, true, child.stderr)
      const locked = isLinux ? lockedKib(child.pid) : 0

      write(session, RENEWED.second)
      await untilUsed(session, proxyUrl, 'second')
      await child.ask('setDumpable 1')
      write(session, RENEWED.third)
      if (isLinux) await child.until(/\[harden-failed\] /, 'stderr')
      if (isLinux) assert.equal(readFileSync(session.tokenFile, 'utf8'), RENEWED.third)
      await child.ask('setDumpable 0')
      await untilUsed(session, proxyUrl, 'third')
      for (const [said, put] of HOSTILE) {
        put(session)
        await child.until(said, 'stderr')
        await assertUsable(proxyUrl)
        assert.ok(await isUsed(proxyUrl, 'third'))
      }

      // The one that was refused is on trial still.
      if (isLinux) assert.equal(lockedKib(child.pid), 2 * locked)
      if (isLinux && !stage.actor.isRoot)
        assert.equal(await stage.attack(t, 'memory', child.pid, NEEDLES), 'denied EACCES')
      if (runtime.kind === 'node' && thread === 'worker')
        for (const token of Object.values(RENEWED))
          assert.equal(await child.ask(`ownHeapHolds ${Buffer.from(token).toString('hex')}`), false)

      assert.equal(await child.ask('close 0'), null)
      if (isLinux) assert.equal(lockedKib(child.pid), 0)
      child.endInput()
      const { exitCode, stderr } = await child.ended
      assert.equal(exitCode, 0, stderr)
      assert.deepEqual(
        parseWarnings(stderr).map(({ code }) => code),
        [...(isLinux ? ['harden-failed'] : []), 'token-not-renewed', 'token-malformed', 'token-linked', 'token-unsafe'],
      )
      assert.ok(!NEEDLES.some((needle) => stderr.includes(needle)))
      assert.deepEqual(readdirSync(session.temporary), [])
    })

  it('stays as it was where the new one is of another session of the gateway', async (t) => {
    const session = createSession(t, stage.actor, system.environment)
    const args = [stage.actor.programFile(PROGRAM), stage.actor.packageUrl, '{}']
    const child = new ProxyProcess(t, await stage.binaryOf(runtime), args, {
      ...stage.actor.ids,
      cwd: session.directory,
      env: session.env,
    })
    const { proxyUrl } = await child.next<Report & EnabledReport>()
    write(session, FOREIGN)
    await child.until(/\[token-not-renewed\] .* answered the CONNECT with 407; /, 'stderr')
    await assertUsable(proxyUrl)
    assert.equal(await child.ask('close 0'), null)
  })
})
