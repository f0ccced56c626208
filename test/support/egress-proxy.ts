// Proxies between the relay and the gateway: one that tests script, and real ones from Debian where they are installed.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { createServer as createTlsServer } from 'node:tls'
import type { TestCertificate } from './test-ca.js'

/** What a scripted proxy does with a connection whose head has come. */
export type ProxyScript = (socket: Socket, head: string) => void

export class ScriptedProxy {
  readonly port: number
  /** Request heads, in order. */
  readonly heads: string[] = []
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  constructor(server: Server, script: ProxyScript) {
    this.#server = server
    this.port = (server.address() as AddressInfo).port
    server.on(server.listenerCount('secureConnection') === 0 ? 'connection' : 'secureConnection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.on('error', () => {}).on('close', () => this.#sockets.delete(socket))
      this.#readHead(socket, script)
    })
  }

  #readHead(socket: Socket, script: ProxyScript): void {
    let text = ''
    const onData = (bytes: Buffer): void => {
      text += bytes.toString('latin1')
      const end = text.indexOf('\r\n\r\n')
      if (end === -1) return
      socket.removeListener('data', onData)
      socket.pause()
      const head = text.slice(0, end + 4)
      this.heads.push(head)
      if (text.length > head.length) socket.unshift(Buffer.from(text.slice(head.length), 'latin1'))
      script(socket, head)
    }
    socket.on('data', onData)
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

/** Starts a scripted proxy on a free port; with a certificate its clients speak TLS to it. */
export async function startScriptedProxy(script: ProxyScript, certificate?: TestCertificate): Promise<ScriptedProxy> {
  const server = certificate === undefined ? createServer() : createTlsServer({ ...certificate })
  if (certificate !== undefined) server.on('secureConnection', () => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return new ScriptedProxy(server, script)
}

/** Connects to what the head asks for and passes bytes on, behind `answer`. */
export function tunnelBehind(answer: string): ProxyScript {
  return (client, head) => {
    const [, host, port] = /^CONNECT \[?([^\]\s]+?)\]?:([0-9]+) /.exec(head) as unknown as [string, string, string]
    const upstream = connect(Number(port), host, () => {
      client.write(answer)
      client.pipe(upstream).pipe(client)
    })
    upstream.on('error', () => client.destroy())
    client.on('close', () => upstream.destroy())
  }
}

/** A real proxy that wants Basic credentials. */
export interface RealProxy {
  readonly port: number
  stop(): Promise<void>
}

/** Why a program cannot be run; undefined when it can. */
export function missing(program: string): string | undefined {
  return spawnSync('which', [program]).status === 0 ? undefined : `${program} is not installed`
}

/** A port that is free at the moment, for programs that cannot choose one themselves. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** tinyproxy(8) with one user. */
export async function startTinyproxy(folder: string, user: string, password: string): Promise<RealProxy> {
  const port = await freePort()
  const file = join(folder, 'tinyproxy.conf')
  const settings = [`Port ${port}`, 'Listen 127.0.0.1', 'Timeout 600', 'MaxClients 50', `BasicAuth ${user} ${password}`]
  writeFileSync(file, `${settings.join('\n')}\n`)
  return untilListening(spawn('tinyproxy', ['-d', '-c', file], { stdio: 'ignore' }), port)
}

const NOBODY = 65_534

/** squid(8) with one user. */
export async function startSquid(folder: string, user: string, password: string): Promise<RealProxy> {
  const port = await freePort()
  const passwords = join(folder, 'squid-users')
  // The program that checks a user asks for nothing but lines: «user password» in, OK or ERR out.
  writeFileSync(
    passwords,
    `#!/bin/sh\nwhile read -r user password; do\n  if [ "$user $password" = "${user} ${password}" ]; then echo OK; else echo ERR; fi\ndone\n`,
  )
  chmodSync(passwords, 0o755)
  const file = join(folder, 'squid.conf')
  const settings = [
    `http_port 127.0.0.1:${port}`,
    `auth_param basic program ${passwords}`,
    'auth_param basic children 1',
    'acl known proxy_auth REQUIRED',
    'http_access allow known',
    'http_access deny all',
    'cache deny all',
    'access_log none',
    `cache_log ${join(folder, 'squid.log')}`,
    `pid_filename ${join(folder, 'squid.pid')}`,
    `coredump_dir ${folder}`,
    'pinger_enable off',
    'memory_cache_shared off',
    'shutdown_lifetime 0 seconds',
  ]
  writeFileSync(file, `${settings.join('\n')}\n`)
  // Squid does not run as root.
  const identity = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {}
  if (process.getuid?.() === 0) chownSync(folder, NOBODY, NOBODY)
  return untilListening(spawn('squid', ['-N', '-n', `test${port}`, '-f', file], { stdio: 'ignore', ...identity }), port)
}

async function untilListening(child: ChildProcess, port: number): Promise<RealProxy> {
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    await exited
  }
  const deadline = performance.now() + 15_000
  while (!(await accepts(port))) {
    if (child.exitCode !== null || performance.now() > deadline) {
      await stop()
      throw new Error(`${child.spawnfile} does not listen (${child.exitCode})`)
    }
  }
  return { port, stop }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => setTimeout(() => resolve(false), 50))
    socket.once('connect', () => socket.destroy())
  })
}
