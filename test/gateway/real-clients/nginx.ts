// nginx as an origin, as Debian has it, on a free port of loopback.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../../support/listening.js'
import { startProgram } from '../../support/program.js'
import { createTempDirectory, type Scope } from '../../support/temp-dir.js'
import type { TestCertificate } from '../../support/test-ca.js'

/** @param settings lines of its `server`; what they call `files` is an empty folder; resolves to its address */
export async function startNginx(
  scope: Scope,
  certificate: TestCertificate,
  protocol: 'http2' | 'http1',
  settings: readonly string[],
): Promise<string> {
  const folder = createTempDirectory(scope, 'nginx')
  const address = `127.0.0.1:${await freePort()}`
  mkdirSync(join(folder, 'files'))
  writeFileSync(join(folder, 'cert.pem'), certificate.cert)
  writeFileSync(join(folder, 'key.pem'), certificate.key, { mode: 0o600 })
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((what) => `${what}_temp_path ${what};`)
  const lines = [
    // One process, who the test is.
    ...['daemon off;', 'master_process off;', 'pid nginx.pid;', 'error_log stderr;', 'events {}'],
    ...['http {', 'access_log off;', ...temporary],
    ...['server {', `listen ${address} ssl${protocol === 'http2' ? ' http2' : ''};`],
    ...['ssl_certificate cert.pem;', 'ssl_certificate_key key.pem;', ...settings, '}', '}'],
  ]
  writeFileSync(join(folder, 'nginx.conf'), lines.join('\n'))
  const port = Number(address.split(':')[1])
  await startProgram(scope, ['nginx', '-p', folder, '-c', 'nginx.conf', '-e', 'stderr'], { cwd: folder, ready: port })
  return address
}
