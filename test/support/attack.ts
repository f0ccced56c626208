// The scene of the attacks: a gateway, and processes with the session token of the system in them, on every runtime and
// hardened or not, that belong to the very user who attacks them.

import assert from 'node:assert/strict'
import {
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { type Outcome, RunningProcess, run } from './cli-process.js'
import { requestThroughTunnel, TunnelStream } from './connect-client.js'
import type { TestRuntime } from './runtimes.js'
import { createSession, RULED_HOST, SESSION_ID, type Session, type System, startSystem, TOKEN } from './system.js'
import { createTempDirectory, type Scope } from './temp-dir.js'
import { threadMode } from './thread-mode.js'
import { type Actor, chooseActor } from './unprivileged.js'

const ATTACKER = new URL('../../attack/attacker.py', import.meta.url)
const LIBRARY_HOST = new URL('../attack/library-host.js', import.meta.url)
const STARTS_HOST = new URL('../attack/starts-host.js', import.meta.url)

/** A second sentinel: in the environment, and in a file that is open but unlinked. No secret of a real session. */
export const MARK = 'sentinel-mark.fedcba9876543210'

const base64 = (text: string): string => Buffer.from(text).toString('base64').replace(/=+$/, '')

/** The shapes in which the token may turn up: as it is, in a Basic credential, alone in base64, hex and percent-encoded. */
export const TOKEN_FORMS: readonly string[] = [
  TOKEN,
  base64(`${SESSION_ID}:${TOKEN}`),
  base64(TOKEN),
  Buffer.from(TOKEN).toString('hex'),
  TOKEN.replace(/[^A-Za-z0-9]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`),
]

/** What a victim is: one of the commands, or a program with the library in it, which may start the proxy more than once. */
export type VictimKind = 'relay' | 'run' | 'library' | 'starts'

export interface VictimOptions {
  /** `relay` unless given. */
  readonly kind?: VictimKind
  /** The same process without the hardening: what the attacks have to succeed on. */
  readonly exposed?: boolean
  /** Over the session's environment; undefined takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly runtimeOptions?: readonly string[]
  /** Behind the program's own arguments. */
  readonly args?: readonly string[]
  /** A program that runs the runtime, with its arguments: a tracer, say. */
  readonly under?: readonly string[]
  /** Puts files into the working directory, which is empty otherwise. */
  readonly prepare?: (workingDirectory: string) => void
}

/** The first line of a victim. */
export type Answer =
  | { readonly enabled: true; readonly port: number; readonly env: Readonly<Record<string, string>> }
  | { readonly enabled: false; readonly code: string; readonly reason: string }

/** A process that may hold the token. */
export interface Victim {
  readonly process: RunningProcess
  readonly session: Session
  readonly workingDirectory: string
}

/** A victim that does hold it. */
export interface RunningVictim extends Victim {
  readonly pid: number
  readonly port: number
  /** Open through the proxy. */
  readonly tunnel: TunnelStream
}

export class Stage {
  readonly actor: Actor
  readonly system: System
  readonly #scope: Scope
  readonly #binaries = new Map<string, Promise<string>>()

  constructor(scope: Scope, actor: Actor, system: System) {
    this.#scope = scope
    this.actor = actor
    this.system = system
  }

  /** The binary of a runtime, where the victims' user can run it. */
  binaryOf(runtime: TestRuntime): Promise<string> {
    const known = this.#binaries.get(runtime.path)
    if (known !== undefined) return known
    const found = this.#findBinary(runtime)
    this.#binaries.set(runtime.path, found)
    return found
  }

  async #findBinary({ path }: TestRuntime): Promise<string> {
    if (path === process.execPath) return this.actor.nodeFile
    if (await this.canRun(path, '--version')) return path
    const folder = createTempDirectory(this.#scope, 'runtime')
    this.actor.own(folder)
    const copy = join(folder, 'runtime')
    cpSync(path, copy)
    return copy
  }

  /** Whether the victims' user has a program. */
  canRun(program: string, ...args: string[]): Promise<boolean> {
    const options = { ...this.actor.ids, env: { PATH: process.env.PATH, HOME: '/nonexistent' } }
    return run(this.#scope, program, args, options).then(
      ({ exitCode }) => exitCode === 0,
      () => false,
    )
  }

  /** Starts a process that may dump core, with a file open that holds the mark. */
  async launch(scope: Scope, runtime: TestRuntime, options: VictimOptions = {}): Promise<Victim> {
    const { kind = 'relay', exposed = false, env = {}, runtimeOptions = [], args = [], under = [], prepare } = options
    const binary = await this.binaryOf(runtime)
    const session = createSession(scope, this.actor, this.system.environment)
    const workingDirectory = join(session.directory, 'work')
    const marked = join(session.directory, 'marked')
    mkdirSync(workingDirectory)
    writeFileSync(marked, MARK, { mode: 0o600 })
    this.actor.own(workingDirectory, marked)
    prepare?.(workingDirectory)
    const program = [...this.#programOf(kind), ...args]
    // A tracer that is killed leaves behind what it traced. This comes before RunningProcess kills the tracer.
    if (under.length > 0) scope.after(() => killDescendants(child.pid))
    // rm only unlinks: the descriptor stays.
    const script = 'ulimit -c unlimited 2>&-; exec 7<"$MARKED" && rm "$MARKED" && unset MARKED && exec "$@"'
    const child: RunningProcess = new RunningProcess(
      scope,
      '/bin/sh',
      ['-c', script, 'sh', ...under, binary, ...runtimeOptions, ...program],
      {
        ...this.actor.ids,
        cwd: workingDirectory,
        env: {
          ...session.env,
          MARKED: marked,
          CCR_ATTACK_MARK: MARK,
          ...(threadMode.thread && { CCR_TEST_THREAD: threadMode.thread }),
          ...(exposed && { CCR_UPSTREAM_PROXY_DANGEROUSLY_ALLOW_INSPECTION: 'the-token-can-be-read' }),
          ...env,
        },
      },
    )
    return { process: child, session, workingDirectory }
  }

  #programOf(kind: VictimKind): string[] {
    const { cliFile, packageUrl } = this.actor
    const library = [this.actor.programFile(LIBRARY_HOST), packageUrl]
    // The command keeps its relay in the main thread.
    if (kind === 'relay' && threadMode.thread === 'worker') return [...library, 'as-relay']
    if (kind === 'relay') return [cliFile, 'relay', '--json']
    if (kind === 'run') return [cliFile, 'run', '--require', '--']
    if (kind === 'starts') return [this.actor.programFile(STARTS_HOST), packageUrl]
    return library
  }

  /** Starts a process, and has the token on the wire and a tunnel open. */
  async start(scope: Scope, runtime: TestRuntime, options: VictimOptions = {}): Promise<RunningVictim> {
    const victim = await this.launch(scope, runtime, options)
    const answer = await answerOf(victim)
    if (!answer.enabled) throw new Error(`the proxy is off: ${answer.code}: ${victim.process.stderr}`)
    await this.use(answer)
    const tunnel = new TunnelStream({ proxyUrl: `http://127.0.0.1:${answer.port}`, authority: `${RULED_HOST}:443` })
    tunnel.on('error', () => {})
    scope.after(() => void tunnel.destroy())
    await tunnel.opened
    return { ...victim, pid: victim.process.pid, port: answer.port, tunnel }
  }

  /** Ends a victim, and what runs below it. */
  async end({ process: child }: Pick<Victim, 'process'>): Promise<void> {
    killDescendants(child.pid)
    child.kill('SIGKILL')
    await child.ended
  }

  /** One request through the proxy: it still works, and its event loop has turned. */
  async use({ port }: Pick<RunningVictim, 'port'>): Promise<void> {
    const { status } = await requestThroughTunnel({
      proxyUrl: `http://127.0.0.1:${port}`,
      url: `https://${RULED_HOST}/`,
      ca: this.system.gateway.caCertificatePem,
    })
    if (status !== 200) throw new Error(`the gateway answered ${status}`)
  }

  /** Has the victims' user start a program. */
  spawn(scope: Scope, program: string, args: readonly string[], input = ''): RunningProcess {
    const env = { PATH: process.env.PATH, HOME: '/nonexistent', LC_ALL: 'C' }
    return new RunningProcess(scope, program, args, { ...this.actor.ids, env, input, cwd: '/' })
  }

  /** Has the victims' user run a program to its end. */
  run(scope: Scope, program: string, args: readonly string[], input = ''): Promise<Outcome> {
    return this.spawn(scope, program, args, input).ended
  }

  /** Has the victims' user run attacker.py: `found`, `nothing` or `denied ERRNO`. */
  async attack(scope: Scope, name: string, pid: number, needles: readonly string[]): Promise<string> {
    const args = [this.actor.programFile(ATTACKER), name, `${pid}`]
    const { stdout, stderr } = await this.run(scope, 'python3', args, needles.join('\n'))
    return stdout.trim() || stderr
  }
}

/** Opens the scene; it closes with `scope`. */
export async function openStage(scope: Scope): Promise<Stage> {
  return new Stage(scope, chooseActor(scope), await startSystem(scope))
}

function killDescendants(pid: number): void {
  const file = `/proc/${pid}/task/${pid}/children`
  if (!existsSync(file)) return
  for (const child of readFileSync(file, 'latin1').split(' ').map(Number)) {
    if (child === 0) continue
    killDescendants(child)
    process.kill(child, 'SIGKILL')
  }
}

/** The first line; what a tracer prints before it is passed over. */
export async function answerOf({ process: child }: Victim): Promise<Answer> {
  const [line] = await child.until(/^\{"enabled".*$/m)
  return JSON.parse(line) as Answer
}

/** Whether the token file is as it was. */
export function hasTokenFile({ session }: Victim): boolean {
  try {
    return readFileSync(session.tokenFile, 'utf8') === `${TOKEN}\n`
  } catch {
    return false
  }
}

// -- Searching -----------------------------------------------------------------------------------------------------------

/** Files in a folder and below, without the token file itself. */
export function filesIn(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name !== 'session_token')
    .map((entry) => join(entry.parentPath, entry.name))
}

/** Those of the files that hold any of the needles. */
export function filesHolding(files: readonly string[], needles: readonly string[]): string[] {
  return files.filter((file) => fileHolds(file, needles))
}

const CHUNK_BYTES = 16 << 20

function fileHolds(file: string, needles: readonly string[]): boolean {
  const overlap = Math.max(...needles.map((needle) => needle.length))
  const { size } = statSync(file)
  const buffer = Buffer.alloc(CHUNK_BYTES)
  const descriptor = openSync(file, 'r')
  for (let at = 0; at < size; at += CHUNK_BYTES - overlap) {
    const chunk = buffer.subarray(0, readSync(descriptor, buffer, 0, CHUNK_BYTES, at))
    if (needles.some((needle) => chunk.includes(needle))) return true
  }
  return false
}

/** Why a crash leaves no file with the memory in the working directory here; undefined when it does. */
export function whyNoCoreFile(): string | undefined {
  const pattern = readFileSync('/proc/sys/kernel/core_pattern', 'latin1').trim()
  if (/^[|/@]/.test(pattern)) return `core files do not go to the working directory here (${pattern})`
  const limits = readFileSync('/proc/self/limits', 'latin1')
  const hard = /^Max core file size\s+\S+\s+(\S+)/m.exec(limits)?.[1]
  return hard === 'unlimited' ? undefined : `the hard limit of core files is ${hard} here`
}

/** Removes what a test looked through and does not need any more: cores are large. */
export function discard(files: readonly string[]): void {
  for (const file of files) rmSync(file, { force: true })
}

/** The forms of the token that are in `text`. */
export function formsIn(text: string): string[] {
  return TOKEN_FORMS.filter((form) => text.includes(form))
}

/** The answer to a CONNECT that fails. */
export function refusalOf({ port }: Pick<RunningVictim, 'port'>, authority: string): Promise<string> {
  const tunnel = new TunnelStream({ proxyUrl: `http://127.0.0.1:${port}`, authority })
  return tunnel.opened.then(
    () => assert.fail('the tunnel was opened'),
    (error: { answer?: string }) => error.answer ?? '',
  )
}
