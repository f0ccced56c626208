// Peer: the client of varlock's tunnel, a WebSocket a connection on the runtime's own WebSocket. It is not a dependency: it is
// installed into a folder of its own for the run, only when `--peers` asks for it.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { RelaySettings } from '../processes/relay-host.js'

/** The first release that the bench was written for. */
const VERSION = '1.20.0'

/** What varlock runs behind its proxy: it says where that is, and stays until its input ends. */
const CHILD = "console.log('PROXY ' + process.env.HTTPS_PROXY); process.stdin.resume().on('end', () => process.exit(0))"

/** The folder with varlock in it; a reason when npm cannot install it. */
export function installVarlock(): { readonly folder: string } | string {
  const folder = mkdtempSync(join(tmpdir(), 'bench-varlock-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  writeFileSync(join(folder, 'package.json'), '{ "private": true }')
  try {
    const args = ['install', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund', `varlock@${VERSION}`]
    execFileSync('npm', args, { cwd: folder, stdio: 'pipe' })
    return { folder }
  } catch {
    return `npm cannot install varlock@${VERSION}`
  }
}

export interface RunningVarlock {
  readonly port: number
  readonly pid: number
  stop(): Promise<void>
}

/** Starts the tunnel's client on `runtime`, which has a WebSocket of its own: Node from 22 on, or Bun. */
export async function startVarlock(folder: string, runtime: string, settings: RelaySettings): Promise<RunningVarlock> {
  const caFile = join(folder, 'ca.pem')
  writeFileSync(caFile, settings.trustedCertificates)
  const url = `wss://127.0.0.1:${settings.gatewayPort}`
  const program = join(folder, 'node_modules/varlock/bin/cli.js')
  const args = [
    program,
    'proxy',
    'run',
    '--url',
    url,
    '--token',
    'token-of-the-bench',
    '--',
    process.execPath,
    '-e',
    CHILD,
  ]
  const child = spawn(runtime, args, {
    cwd: folder,
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH, HOME: folder, TMPDIR: folder, NODE_EXTRA_CA_CERTS: caFile },
  })
  return { port: await readPort(child), pid: child.pid ?? 0, stop: () => stopVarlock(child) }
}

async function stopVarlock(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  await exited
}

function readPort(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    let said = ''
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
    child.once('exit', (code) => reject(new Error(`varlock ended with ${code}: ${said}`)))
    if (child.stdout === null) return
    createInterface({ input: child.stdout }).on('line', (line) => {
      said += `${line}\n`
      const port = /PROXY http:\/\/127\.0\.0\.1:([0-9]+)/.exec(line)?.[1]
      if (port !== undefined) resolve(Number(port))
    })
  })
}
