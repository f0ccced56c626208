// Control: HAProxy between a client and TLS to the gateway, which is the raw pipe in C.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { RelaySettings } from '../processes/relay-host.js'

/** The binary; undefined when it is not installed. */
export function findHaproxy(): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/usr/local/sbin']
  return folders.map((folder) => join(folder, 'haproxy')).find(isExecutable)
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

export interface RunningHaproxy {
  readonly port: number
  readonly pid: number
  stop(): Promise<void>
}

/** Starts HAProxy; its certificates and configuration are in a folder of their own until it is stopped. */
export async function startHaproxy(binary: string, settings: RelaySettings): Promise<RunningHaproxy> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-haproxy-'))
  const port = await findFreePort()
  writeFileSync(join(folder, 'ca.pem'), settings.trustedCertificates)
  writeFileSync(join(folder, 'haproxy.cfg'), configure(port, settings.gatewayPort, join(folder, 'ca.pem')))
  const child = spawn(binary, ['-db', '-f', join(folder, 'haproxy.cfg')], { stdio: ['ignore', 'ignore', 'inherit'] })
  const stop = () => stopHaproxy(child, folder)
  try {
    await untilListening(port, child)
  } catch (error) {
    await stop()
    throw error
  }
  return { port, pid: child.pid ?? 0, stop }
}

async function stopHaproxy(child: ChildProcess, folder: string): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) {
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    await exited
  }
  rmSync(folder, { recursive: true, force: true })
}

/** One thread, as a relay in JavaScript has one. */
function configure(port: number, gatewayPort: number, caFile: string): string {
  return `global
  nbthread 1
  maxconn 8192
defaults
  mode tcp
  timeout connect 10s
  timeout client 1h
  timeout server 1h
frontend clients
  bind 127.0.0.1:${port}
  default_backend gateway
backend gateway
  server gateway 127.0.0.1:${gatewayPort} ssl verify required ca-file ${caFile} sni str(gateway.bench)
`
}

/** HAProxy cannot say which port it was given. */
async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** There is no event for it: connects until somebody accepts. */
async function untilListening(port: number, child: ChildProcess): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    if (child.exitCode !== null) throw new Error(`HAProxy ended with ${child.exitCode}`)
    const socket = connect({ host: '127.0.0.1', port })
    const isAccepted = await once(socket, 'connect').then(
      () => true,
      () => false,
    )
    socket.destroy()
    if (isAccepted) return
    await sleep(50)
  }
  throw new Error('HAProxy does not listen')
}
