// A Unix socket that answers everybody who connects with one text, and ends; nothing is read from it. Who may connect is the
// file system's to say: the socket is its owner's alone, in a folder that nobody else may enter. Node and Bun do it alike.

import { chmodSync, lstatSync, rmSync, statSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { dirname } from 'node:path'
import { startDeadline } from '../deadline.js'
import { systemCode, UpstreamProxyError } from '../errors.js'
import { fitsSocketPath, MAX_PATH_BYTES } from './socket-path.js'

/** Somebody who asks once a second, a few times over. */
const MAX_CONNECTIONS = 8
/** Milliseconds in which an answer must have been taken. */
const ANSWER_TIMEOUT_MS = 5_000
/** Bytes of an answer: ten times what the largest report has. */
const MAX_ANSWER_BYTES = 8 * 1_048_576

/** What the next one is told. */
const BUSY = 'busy'

/** The socket was removed by who closed it, or left behind by who was killed: connect(2), unix(7). */
const NOBODY_LISTENS = ['ENOENT', 'ECONNREFUSED']

/** A socket that answers. */
export interface StatusListener {
  /** Drops who is still reading, and removes the socket if it can; the next relay there removes what is left. */
  close(): Promise<void>
}

/**
 * Answers on the socket `path`; what a relay that was killed left there is removed.
 * @param answer is asked for each connection
 * @throws {UpstreamProxyError} `status-unavailable`
 */
export async function listenForStatus(path: string, answer: () => string): Promise<StatusListener> {
  if (!fitsSocketPath(path)) throw unavailable(path, `is longer than ${MAX_PATH_BYTES} bytes`)
  const connections = new Set<Socket>()
  const server = createServer((socket) => serve(socket, connections, answer))
  try {
    assertPrivate(dirname(path))
    await removeStale(path)
    await listen(server, path)
    chmodSync(path, 0o600)
  } catch (error) {
    server.close()
    throw error instanceof UpstreamProxyError
      ? error
      : unavailable(path, `cannot be listened on (${systemCode(error)})`)
  }
  return { close: () => close(server, connections, path) }
}

/**
 * What the socket `path` answers.
 * @param timeoutMs milliseconds that it gets
 * @throws {UpstreamProxyError} `relay-not-found` when nobody listens there any more, `status-busy`, `status-unavailable`
 */
export function readStatus(path: string, timeoutMs = ANSWER_TIMEOUT_MS): Promise<string> {
  return new Promise((resolve, reject) => {
    const end = (error: UpstreamProxyError): void => {
      socket.destroy()
      reject(error)
    }
    const fail = (why: string): void => end(unavailable(path, why))
    const pieces: Buffer[] = []
    let length = 0
    const deadline = startDeadline(timeoutMs, () => fail(`did not answer within ${timeoutMs} ms`))
    const socket = connect({ path })
      .on('data', (piece: Buffer) => {
        pieces.push(piece)
        length += piece.length
        if (length > MAX_ANSWER_BYTES) fail('answers without an end')
      })
      .on('error', async (error) => {
        const code = await codeOfFailure(error, path)
        if (NOBODY_LISTENS.includes(code)) end(new UpstreamProxyError('relay-not-found', `nobody listens on ${path}`))
        else if (code === 'EAGAIN') end(busy(path))
        else fail(`cannot be read (${code})`)
      })
      .on('end', () => {
        const text = Buffer.concat(pieces).toString('utf8')
        if (text === BUSY) end(busy(path))
        else if (text === '') fail('ended without an answer')
        else resolve(text)
      })
      .on('close', () => deadline.clear())
  })
}

/** Whether somebody listens on the socket `path`, however busy; false is said only where connect(2) is refused. Never rejects. */
export function hasListener(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const end = (isThere: boolean): void => {
      deadline.clear()
      socket.destroy()
      resolve(isThere)
    }
    const deadline = startDeadline(ANSWER_TIMEOUT_MS, () => end(true))
    const socket = connect({ path })
      .on('connect', () => end(true))
      .on('error', async (error) => end((await codeOfFailure(error, path)) !== 'ECONNREFUSED'))
  })
}

/** Why connecting failed. Of a socket with a full backlog node:net says on Bun that it refuses; there fetch() has the right word. */
async function codeOfFailure(error: unknown, path: string): Promise<string> {
  const code = systemCode(error)
  if (code !== 'ECONNREFUSED' || !('Bun' in globalThis)) return code
  try {
    await fetch('http://localhost/', { unix: path, signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) } as RequestInit)
    return ''
  } catch (answered) {
    return systemCode(answered)
  }
}

function serve(socket: Socket, connections: Set<Socket>, answer: () => string): void {
  socket.on('error', () => {})
  if (connections.size >= MAX_CONNECTIONS) {
    socket.end(BUSY, () => socket.destroy())
    return
  }
  connections.add(socket)
  const deadline = startDeadline(ANSWER_TIMEOUT_MS, () => socket.destroy())
  socket.on('close', () => {
    deadline.clear()
    connections.delete(socket)
  })
  // What is said here is thrown away: an end that nobody reads does not come.
  socket.resume()
  socket.end(answer())
}

/** Between bind(2) and chmod(2) the socket has the mode of the umask, so that nobody else may get there at all. */
function assertPrivate(folder: string): void {
  const { uid, mode } = statSync(folder)
  if (uid !== process.geteuid?.() || (mode & 0o077) !== 0) throw unavailable(folder, 'is open to others')
}

/** Only a socket that nobody listens on; anything else is left for listen() to fail. */
async function removeStale(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found?.isSocket() !== true) return
  if (!(await hasListener(path))) rmSync(path, { force: true })
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ path }, () => {
      server.removeListener('error', reject)
      // Out of descriptors while accepting: who asks waits in the backlog.
      server.on('error', () => {})
      resolve()
    })
  })
}

function close(server: Server, connections: ReadonlySet<Socket>, path: string): Promise<void> {
  for (const socket of connections) socket.destroy()
  return new Promise((resolve) => {
    server.close(() => {
      removeIfPossible(path)
      resolve()
    })
  })
}

function removeIfPossible(path: string): void {
  try {
    rmSync(path, { force: true })
  } catch {}
}

/** Eight are being answered, or as many wait as the kernel lets (connect(2), EAGAIN). */
function busy(path: string): UpstreamProxyError {
  return new UpstreamProxyError('status-busy', `the status socket: ${path} is being asked by as many as it can answer`)
}

function unavailable(path: string, why: string): UpstreamProxyError {
  return new UpstreamProxyError('status-unavailable', `the status socket: ${path} ${why}`)
}
