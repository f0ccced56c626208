// The debugger of another process: which ports it has opened, and whether it takes orders there.

import assert from 'node:assert/strict'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { get } from 'node:http'
import { WebSocket } from 'ws'
import type { RunningVictim } from './attack.js'

/** The ports of a process's listening TCP sockets; without the right to see its descriptors, those of its whole user. */
export function listeningPorts(pid: number): number[] {
  const own = socketsOf(pid)
  const user = /^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]
  return ['tcp', 'tcp6'].flatMap((table) => {
    const rows = readFileSync(`/proc/${pid}/net/${table}`, 'latin1').split('\n').slice(1)
    // Columns, proc(5): 1 the local address, 3 the state (0A is LISTEN), 7 the user, 9 the inode.
    return rows
      .map((row) => row.trim().split(/\s+/))
      .filter((columns) => columns[3] === '0A' && (own?.has(columns[9]) ?? columns[7] === user))
      .map((columns) => Number.parseInt(columns[1]?.split(':')[1] ?? '', 16))
  })
}

function socketsOf(pid: number): Set<string | undefined> | undefined {
  try {
    const targets = readdirSync(`/proc/${pid}/fd`).map((name) => targetOf(`/proc/${pid}/fd/${name}`))
    return new Set(targets.map((target) => /^socket:\[(\d+)\]$/.exec(target)?.[1]))
  } catch {
    return undefined
  }
}

function targetOf(link: string): string {
  try {
    return readlinkSync(link)
  } catch {
    return ''
  }
}

/** Tries every port at which process `pid` may listen: those where a debugger runs orders in it. */
export async function debuggersOf(pid: number): Promise<number[]> {
  const ports = listeningPorts(pid)
  const pids = await Promise.all(ports.map(async (port) => pidBehind(await debuggerUrl(port))))
  return ports.filter((_port, index) => pids[index] === pid)
}

/** How long something that is no debugger may keep silent. */
const SILENCE_MS = 30_000

/** Where Node's inspector at a port takes WebSockets; undefined when there is none. */
function debuggerUrl(port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const request = get({ host: '127.0.0.1', port, path: '/json/list', timeout: SILENCE_MS }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (piece: string) => {
        text += piece
      })
      response.on('end', () => resolve(/"webSocketDebuggerUrl":\s*"([^"]+)"/.exec(text)?.[1]))
    })
    request.on('timeout', () => request.destroy())
    request.on('error', () => resolve(undefined))
  })
}

/** Has the debugger behind `url` evaluate `process.pid`; undefined when nobody answers. */
export function pidBehind(url: string | undefined): Promise<number | undefined> {
  if (url === undefined) return Promise.resolve(undefined)
  return new Promise((resolve) => {
    const socket = new WebSocket(url, { handshakeTimeout: SILENCE_MS })
    socket.on('open', () => {
      const params = { expression: 'process.pid', returnByValue: true }
      socket.send(JSON.stringify({ id: 1, method: 'Runtime.evaluate', params }))
    })
    socket.on('message', (data) => {
      const { id, result } = JSON.parse(String(data)) as { id?: number; result?: { result?: { value?: number } } }
      if (id !== 1) return
      socket.close()
      resolve(result?.result?.value)
    })
    socket.on('close', () => resolve(undefined))
    socket.on('error', () => resolve(undefined))
  })
}

/** Makes sure that a process listens for its clients alone, and said nothing. */
export async function assertNoDebugger({
  pid,
  port,
  process: child,
}: Pick<RunningVictim, 'pid' | 'port' | 'process'>): Promise<void> {
  // Without the right to see its descriptors, these are those of its whole user.
  if (process.getuid?.() === 0) assert.deepEqual(listeningPorts(pid), [port])
  assert.deepEqual(await debuggersOf(pid), [])
  assert.equal(child.stderr, '')
}
