// Real CONNECT proxies from Debian, where they are installed: tinyproxy(8) and squid(8), on a free port of loopback.

import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from './listening.js'
import { startProgram } from './program.js'
import type { Scope } from './temp-dir.js'

/** For `user` and `pass`; its port. */
export async function startTinyproxy(scope: Scope, folder: string): Promise<number> {
  const port = await freePort()
  const settings = [`Port ${port}`, 'Listen 127.0.0.1', 'Timeout 600', 'MaxClients 50', 'BasicAuth user pass']
  writeFileSync(join(folder, 'tinyproxy.conf'), `${settings.join('\n')}\n`)
  await startProgram(scope, ['tinyproxy', '-d', '-c', 'tinyproxy.conf'], { cwd: folder, ready: port })
  return port
}

/** Who gets in, and where to. */
export interface SquidSetup {
  /** The program that checks a user, with its arguments. Default: for `user` and `pass`. */
  readonly auth?: string
  /** Lines that decide; `known` is who was let in. Default: they all get everywhere. */
  readonly access?: readonly string[]
}

/** It asks for nothing but lines: `user password` in, OK or ERR out. */
const ONE_USER = `#!/bin/sh
while read -r user password; do
  if [ "$user $password" = 'user pass' ]; then echo OK; else echo ERR; fi
done
`
const NOBODY = 65_534

/** Its port. The folder is made one that anybody may write: squid does not run as root. */
export async function startSquid(scope: Scope, folder: string, setup: SquidSetup = {}): Promise<number> {
  const port = await freePort()
  writeFileSync(join(folder, 'one-user'), ONE_USER, { mode: 0o755 })
  const settings = [
    `http_port 127.0.0.1:${port}`,
    `auth_param basic program ${setup.auth ?? join(folder, 'one-user')}`,
    'auth_param basic children 1',
    'acl known proxy_auth REQUIRED',
    ...(setup.access ?? ['http_access allow known']),
    'http_access deny all',
    'cache deny all',
    'memory_cache_shared off',
    'pinger_enable off',
    'via off',
    'access_log none',
    `cache_log ${join(folder, 'squid.log')}`,
    'pid_filename none',
    `coredump_dir ${folder}`,
    'shutdown_lifetime 0 seconds',
  ]
  writeFileSync(join(folder, 'squid.conf'), `${settings.join('\n')}\n`)
  chmodSync(folder, 0o777)
  const command = ['squid', '-N', '-n', `test${port}`, '-f', join(folder, 'squid.conf')] as const
  await startProgram(scope, [...command], { cwd: folder, ready: port, uid: NOBODY, stopSignal: 'SIGKILL' })
  return port
}
