// The token as orchestrators mount it, on real mounts in a namespace of its own: what the start makes of it, what it leaves of the
// file, and whether a new token there is taken, as the table of doc/deploy.md says. Costs 12 s of CPU.

import assert from 'node:assert/strict'
import { lstatSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, describe, it, test } from 'node:test'
import { hashToken } from 'ccr-upstream-gateway'
import { documentText, tableRows } from '../documents/markdown.js'
import { isInstalled } from '../support/cli-process.js'
import { type DisabledReport, type EnabledReport, ProxyProcess, type Report } from '../support/proxy-process.js'
import { describeOnEachRuntime } from '../support/runtimes.js'
import { createSession, SESSION_ID, startSystem, TOKEN } from '../support/system.js'
import { SharedScope } from '../support/temp-dir.js'
import { chooseActor } from '../support/unprivileged.js'

const PROGRAM = new URL('../support/proxy-program.js', import.meta.url)
const RENEWED = 'sentinel-renewed.0123456789abcdef'
/** Of the proxy, and of somebody else. */
const [USER, OTHER] = [65_534, 1_234]

/** Where a token is mounted, as the proxy sees it, and what lies behind it. */
interface Paths {
  readonly mounted: string
  readonly host: string
}

interface Mount {
  /** First column of the table. */
  readonly title: string
  /** Shell commands of root: the folder `$R` is to have the token of `$H/token` in its `session_token`. */
  readonly script: string
  /** Second column: `on`, with the codes of the warnings, or `off` with the code. */
  readonly start: string
  /** Third column. */
  readonly left: 'gone' | 'emptied' | 'as it was'
  /** The orchestrator writes another token; fourth column, `taken` where it can. */
  readonly renew?: (paths: Paths) => void
  readonly onBun?: true
}

const FILE_OF = (owner: string, mode: string) => `chown ${owner} "$H/token"; chmod ${mode} "$H/token"`
const BOUND_FILE = ': >"$R/session_token"; mount --bind "$H/token" "$R/session_token"'
const TMPFS = 'mount -t tmpfs tmpfs "$R"; cp "$H/token" "$R/session_token"'
const READ_ONLY = 'mount -o remount,ro "$R"'

function rename(folder: string): void {
  const file = join(folder, 'session_token')
  writeFileSync(`${file}.new`, RENEWED, { mode: 0o644 })
  renameSync(`${file}.new`, file)
}

const MOUNTS: readonly Mount[] = [
  {
    title: 'Kubernetes: a Secret, ConfigMap or projected volume',
    script: `mount -t tmpfs tmpfs "$R"; mkdir "$R/..2026_12_01"; cp "$H/token" "$R/..2026_12_01/session_token"
      chown 0:${USER} "$R"/..2026_12_01/*; chmod 0440 "$R"/..2026_12_01/*
      ln -s ..2026_12_01 "$R/..data"; ln -s ..data/session_token "$R/session_token"; ${READ_ONLY}`,
    start: 'off: `token-linked`',
    left: 'as it was',
    onBun: true,
  },
  {
    title: 'Kubernetes: the same with `subPath`',
    script: `${FILE_OF(`0:${USER}`, '0440')}; ${BOUND_FILE}; mount -o remount,bind,ro "$R/session_token"`,
    start: 'on, `token-exposed`, `token-not-unlinked`',
    left: 'as it was',
  },
  {
    title: 'Kubernetes: a copy in an `emptyDir`, written by its user under umask 077',
    script: `mount -t tmpfs -o mode=0777 tmpfs "$R"; setpriv --reuid=${USER} --clear-groups sh -c 'umask 077; cat >"$R/session_token"' <"$H/token"`,
    start: 'on',
    left: 'gone',
    renew: ({ mounted }) => rename(mounted),
    onBun: true,
  },
  {
    title: 'Kubernetes: a copy in an `emptyDir`, written by root for the `fsGroup`',
    script: `mount -t tmpfs -o mode=2777,gid=${USER} tmpfs "$R"; cp "$H/token" "$R/session_token"; chmod 0640 "$R/session_token"`,
    start: 'on, `token-exposed`',
    left: 'gone',
    renew: ({ mounted }) => rename(mounted),
  },
  {
    title: 'Docker Swarm: a secret',
    script: `${TMPFS}; chmod 0444 "$R/session_token"; ${READ_ONLY}`,
    start: 'on, `token-exposed`, `token-not-unlinked`',
    left: 'as it was',
  },
  {
    title: 'systemd: a credential (`LoadCredential=`)',
    script: `${TMPFS}; chown ${USER} "$R" "$R/session_token"; chmod 0400 "$R/session_token"; chmod 0500 "$R"; ${READ_ONLY}`,
    start: 'on, `token-not-unlinked`',
    left: 'as it was',
  },
  {
    title: 'Docker, Compose: a file of the host, `-v FILE:FILE`',
    script: `${FILE_OF(`${USER}`, '0600')}; ${BOUND_FILE}`,
    start: 'on, `token-not-unlinked`',
    left: 'emptied',
    renew: ({ host }) => writeFileSync(join(host, 'token'), RENEWED),
    onBun: true,
  },
  {
    title: 'the same, once a relay has emptied it',
    script: `${FILE_OF(`${USER}`, '0600')}; : >"$H/token"; ${BOUND_FILE}`,
    start: 'off: `token-empty`',
    left: 'emptied',
  },
  {
    title: 'Docker, Compose: a file of the host, `-v FILE:FILE:ro`',
    script: `${FILE_OF(`${USER}`, '0600')}; ${BOUND_FILE}; mount -o remount,bind,ro "$R/session_token"`,
    start: 'on, `token-not-unlinked`',
    left: 'as it was',
    renew: ({ host }) => writeFileSync(join(host, 'token'), RENEWED),
  },
  {
    title: 'Docker, Compose: a folder of the host, `-v FOLDER:FOLDER`',
    script: `${FILE_OF(`${USER}`, '0600')}; mv "$H/token" "$H/session_token"; chown ${USER} "$H"; mount --bind "$H" "$R"`,
    start: 'on',
    left: 'gone',
    renew: ({ host }) => rename(host),
  },
  {
    title: 'Docker, Compose: a folder of the host, `-v FOLDER:FOLDER:ro`',
    script: `${FILE_OF(`${USER}`, '0600')}; mv "$H/token" "$H/session_token"; mount --bind "$H" "$R"; mount -o remount,bind,ro "$R"`,
    start: 'on, `token-not-unlinked`',
    left: 'as it was',
    renew: ({ host }) => rename(host),
  },
  {
    title: 'any of them, of another user, mode 0400',
    script: `${TMPFS}; chown ${OTHER} "$R/session_token"; chmod 0400 "$R/session_token"`,
    start: 'off: `token-unreadable`',
    left: 'as it was',
  },
  {
    title: 'any of them, of another user, readable for the group',
    script: `${TMPFS}; chown ${OTHER}:${USER} "$R/session_token"; chmod 0440 "$R/session_token"`,
    start: 'off: `token-unsafe`',
    left: 'as it was',
  },
]

const setup = new SharedScope()
after(() => setup.end())
const actor = chooseActor(setup)
const canMount = await isInstalled(setup, 'unshare', '--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt')
const skip = actor.ids.uid === USER && canMount ? false : 'no user can be left for a namespace with mounts here'
const system = await startSystem(setup, {
  sessions: [{ id: SESSION_ID, tokenSha256: hashToken(RENEWED) }],
})

const codesIn = (stderr: string): string[] =>
  [...stderr.matchAll(/ warn \[([a-z-]+)\]/g)].map(([, code]) => code as string)

function stateOf(file: string): string {
  const stats = lstatSync(file, { throwIfNoEntry: false })
  if (stats === undefined) return 'gone'
  return stats.isFile() && stats.size === 0 ? 'emptied' : 'as it was'
}

describeOnEachRuntime('a token that is mounted', (runtime) => {
  describe('as orchestrators do:', { concurrency: 2, skip }, () => {
    for (const { title, script, start, left, renew } of MOUNTS.filter(
      ({ onBun }) => runtime.kind === 'node' || onBun,
    )) {
      it(`${title}: ${start}; ${left}`, async (t) => {
        const session = createSession(t, actor, system.environment)
        const [folder, host] = [join(session.directory, 'run'), join(session.directory, 'host')]
        for (const path of [folder, host]) mkdirSync(path)
        writeFileSync(join(host, 'token'), TOKEN, { mode: 0o600 })
        const drop = `exec setpriv --reuid=${USER} --regid=${USER} --clear-groups "$@"`
        const program = [runtime.path, actor.programFile(PROGRAM), actor.packageUrl, '{"thread":"main"}']
        const args = ['--mount', 'sh', '-ec', `${script}; ${drop}`, 'sh', ...program]
        const env = {
          ...session.env,
          CCR_UPSTREAM_PROXY_LOG: 'info',
          CCR_SESSION_TOKEN_PATH: join(folder, 'session_token'),
        }
        const child = new ProxyProcess(t, 'unshare', args, {
          cwd: session.directory,
          env: { ...env, R: folder, H: host },
        })
        const report = await child.next<Report & (EnabledReport | DisabledReport)>()
        const codes = codesIn(child.stderr).map((code) => `\`${code}\``)
        assert.equal(report.enabled ? ['on', ...codes].join(', ') : `off: ${codes}`, start, child.stderr)
        const seen = join(`/proc/${child.pid}/root`, folder)
        assert.equal(stateOf(join(seen, 'session_token')), left)
        if (left === 'as it was') assert.equal(readFileSync(join(seen, 'session_token'), 'utf8'), TOKEN)

        renew?.({ mounted: seen, host })
        if (renew !== undefined) await child.until(/ info the gateway has taken a new session token/, 'stderr')
        assert.equal(await child.ask('close 0'), null)
      })
    }
  })
})

test('doc/deploy.md has a row for each, and no others', () => {
  const rows = tableRows(documentText('doc/deploy.md'), '### How the token is mounted')
  assert.deepEqual(
    rows,
    MOUNTS.map(({ title, start, left, renew }) => [title, start, left, renew === undefined ? '–' : 'taken']),
  )
})
