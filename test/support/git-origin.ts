// An HTTPS origin that serves git repositories through the real `git http-backend` (CGI, RFC 3875). It lets nobody in
// without the credential that the gateway injects.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { startOrigin } from './origin.js'
import type { Scope } from './temp-dir.js'

/** Where the repositories are, and who may read them. */
export interface GitOriginOptions {
  readonly host: string
  /** Folder with bare repositories. */
  readonly projectRoot: string
  /** The only Authorization that is let in. */
  readonly authorization: string
  /** Takes requests before git does; true when it answered. */
  readonly answersFirst?: (request: IncomingMessage, response: ServerResponse) => boolean
}

/** Starts the origin; resolves to its `address:port`. */
export async function startGitOrigin(scope: Scope, options: GitOriginOptions): Promise<string> {
  const backends = new Set<ChildProcess>()
  const handler: RequestListener = (request, response) => {
    if (options.answersFirst?.(request, response) === true) return
    if (request.headers.authorization !== options.authorization) {
      response.writeHead(401, { 'WWW-Authenticate': 'Basic realm="git"' }).end()
      return
    }
    const backend = spawnBackend(request, options)
    backends.add(backend)
    backend.once('close', () => backends.delete(backend))
    answer(request, response, backend).catch(() => response.destroy())
  }
  const origin = await startOrigin(scope, { names: [options.host], handler })
  scope.after(async () => {
    const ended = Array.from(backends, (backend) => once(backend, 'close'))
    for (const backend of backends) backend.kill()
    await Promise.all(ended)
  })
  return origin.address
}

/** The repositories of a request, for origins that have other things too. */
export interface GitBackendOptions {
  /** Folder with bare repositories. */
  readonly projectRoot: string
  /** The path below it, where that is not the path of the request. */
  readonly path?: string
}

/** Answers one request through `git http-backend`; rejects when the client goes away. */
export function answerWithGitBackend(
  request: IncomingMessage,
  response: ServerResponse,
  options: GitBackendOptions,
): Promise<void> {
  return answer(request, response, spawnBackend(request, options))
}

function spawnBackend(request: IncomingMessage, options: GitBackendOptions): ChildProcess {
  return spawn('git', ['http-backend'], { env: cgiVariables(request, options), stdio: 'pipe' })
}

/** git-http-backend(1), «Environment». */
function cgiVariables(request: IncomingMessage, { projectRoot, path }: GitBackendOptions): NodeJS.ProcessEnv {
  const { pathname, search } = new URL(request.url ?? '/', 'https://origin')
  const { headers } = request
  return {
    PATH: process.env.PATH,
    GIT_PROJECT_ROOT: projectRoot,
    GIT_HTTP_EXPORT_ALL: '1',
    GIT_CONFIG_NOSYSTEM: '1',
    HOME: projectRoot,
    REMOTE_USER: 'tester',
    REQUEST_METHOD: request.method,
    PATH_INFO: decodeURIComponent(path ?? pathname),
    QUERY_STRING: search.slice(1),
    CONTENT_TYPE: headers['content-type'],
    CONTENT_LENGTH: headers['content-length'],
    HTTP_CONTENT_ENCODING: headers['content-encoding'],
    HTTP_GIT_PROTOCOL: headers['git-protocol'] as string | undefined,
  }
}

/** Passes the request's body in, and the CGI answer (fields, an empty line, the body) out. */
async function answer(request: IncomingMessage, response: ServerResponse, backend: ChildProcess): Promise<void> {
  const { stdin, stdout } = backend
  if (stdin === null || stdout === null) throw new Error('the backend has no pipes')
  stdin.on('error', () => {})
  request.pipe(stdin)
  let head = Buffer.alloc(0)
  for await (const piece of stdout as AsyncIterable<Buffer>) {
    if (response.headersSent) {
      response.write(piece)
      continue
    }
    head = Buffer.concat([head, piece])
    const end = head.indexOf('\r\n\r\n')
    if (end === -1) continue
    writeHead(response, head.subarray(0, end).toString('latin1'))
    response.write(head.subarray(end + 4))
  }
  response.end()
}

function writeHead(response: ServerResponse, head: string): void {
  const fields = head.split('\r\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)])
  const status = fields.find(([name]) => name?.toLowerCase() === 'status')?.[1]
  for (const [name = '', value = ''] of fields) if (name.toLowerCase() !== 'status') response.setHeader(name, value)
  response.writeHead(Number.parseInt(status ?? '200', 10))
}
