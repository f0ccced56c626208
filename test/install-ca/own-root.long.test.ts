// `install-ca` without --root: on this very machine, but in a mount namespace in which its folders are copies, so that the
// real update command and its hooks run, and nothing of it stays.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { CLI_FILE, run } from '../support/cli-process.js'
import { createTempDirectory, type Scope } from '../support/temp-dir.js'
import { createTestCa } from '../support/test-ca.js'
import { whyNoDebian } from './scratch-root.js'

const KEYSTORE = '/etc/ssl/certs/java/cacerts'
const COVERED = ['/etc', '/usr/local/share', '/var/lib']
const COVER = `
  mount -t tmpfs tmpfs "$WORK"
  for folder in ${COVERED.join(' ')}; do
    upper="$WORK/upper$folder"; work="$WORK/work$folder"
    mkdir -p "$upper" "$work"
    mount -t overlay overlay -o "lowerdir=$folder,upperdir=$upper,workdir=$work" "$folder"
  done
  mkdir "$WORK/tmp"; export TMPDIR="$WORK/tmp"
  photograph() {
    "$NODE" --input-type=module -e '
      const { photograph, withoutTimes } = await import(process.env.MODULE)
      for (const folder of ["/etc/ssl", "/usr/local/share/ca-certificates", "/etc/ca-certificates"]) console.log(folder, withoutTimes(photograph(folder)))
    '
  }
`

const whyNot = (): string | false => {
  const reason = whyNoDebian()
  if (reason !== undefined) return reason
  const probe =
    'set -e; mount -t tmpfs tmpfs /tmp; mkdir /tmp/u /tmp/w; mount -t overlay o -o lowerdir=/etc,upperdir=/tmp/u,workdir=/tmp/w /etc'
  return spawnSync('unshare', ['--mount', 'sh', '-c', probe]).status === 0 ? false : 'an overlay cannot be mounted'
}

describe('install-ca on the machine itself', { timeout: 1_800_000, skip: whyNot() }, () => {
  async function runCovered(t: Scope, script: string): Promise<string> {
    const folder = createTempDirectory(t, 'own')
    for (const name of ['ca', 'theirs']) {
      writeFileSync(join(folder, `${name}.pem`), (await createTestCa(`${name} of the test`)).rootPem)
    }
    const env = {
      PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
      WORK: createTempDirectory(t, 'work'),
      NODE: process.execPath,
      CLI: CLI_FILE,
      MODULE: fileURLToPath(new URL('scratch-root.js', import.meta.url)),
      CA: join(folder, 'ca.pem'),
      THEIRS: join(folder, 'theirs.pem'),
    }
    const args = ['--mount', 'sh', '-e', '-c', `${COVER}\n${script}`]
    const { exitCode, stdout, stderr } = await run(t, 'unshare', args, { env })
    assert.equal(exitCode, 0, `${stdout}${stderr}`)
    return stdout
  }

  it('every program of the machine trusts the CA, and nothing of it is left', async (t) => {
    const stdout = await runCovered(
      t,
      `
      photograph > "$WORK/before"
      "$NODE" "$CLI" install-ca --ca-file "$CA" --only system,java
      openssl verify -no-CApath -CAfile /etc/ssl/certs/ca-certificates.crt "$CA"
      openssl verify -no-CAfile -CApath /etc/ssl/certs "$CA"
      "$NODE" "$CLI" install-ca --ca-file "$CA" --only system
      "$NODE" "$CLI" uninstall-ca
      photograph > "$WORK/after"
      diff "$WORK/before" "$WORK/after"
      ! openssl verify -no-CAfile -CApath /etc/ssl/certs "$CA"
      test ! -e /var/lib/ccr-upstream-proxy
      `,
    )
    assert.match(
      stdout,
      /^installed {6}system[\s\S]*ca\.pem: OK\n\S+ca\.pem: OK\nalready there {2}system[\s\S]*removed {8}system$/m,
    )
  })

  const hasHook = existsSync('/etc/ca-certificates/update.d/jks-keystore') && existsSync(KEYSTORE)
  const skip = hasHook ? false : "Debian's ca-certificates-java is not installed"
  it("what Debian's hook put into Java's keystore is taken out, and what others put there stays", {
    skip,
  }, async (t) => {
    const list = `keytool -list -rfc -keystore ${KEYSTORE} -storepass changeit 2>/dev/null | grep -E 'Alias name: (debian:ccr-|ccr-|theirs)' || true`
    const stdout = await runCovered(
      t,
      `
      "$NODE" "$CLI" install-ca --ca-file "$CA" --only system,java >/dev/null
      ${list}
      keytool -importcert -noprompt -alias theirs -file "$THEIRS" -keystore ${KEYSTORE} -storepass changeit 2>/dev/null
      "$NODE" "$CLI" uninstall-ca
      ${list}
      `,
    )
    assert.match(
      stdout,
      /^Alias name: debian:ccr-upstream-proxy-[0-9a-f]{16}\.pem\nremoved {8}system {4}what others have changed since was kept\nAlias name: theirs\n$/,
    )
  })
})
