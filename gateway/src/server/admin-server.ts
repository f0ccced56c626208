// The operator's own port: metrics, and the probes of an orchestrator. It takes no input but the path, and shows nothing
// that an agent may not see; still it is on loopback unless the config says otherwise.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Metrics } from '../audit/metrics.js'
import type { ListenAddress } from '../config/config-schema.js'
import { Guard } from '../guard.js'
import { listen } from './listen.js'

/** What it shows, and reports to. */
export interface AdminContext {
  readonly metrics: Pick<Metrics, 'expose'>
  /** Whether tunnels are taken. */
  readonly isReady: () => boolean
  readonly reportDefect: (thrown: unknown) => void
}

/** Serves `/metrics`, `/healthz` (the process lives) and `/readyz` (it takes tunnels). */
export class AdminServer {
  readonly #context: AdminContext
  readonly #server: Server

  constructor(context: AdminContext) {
    this.#context = context
    this.#server = createServer({ headersTimeout: 10_000, requestTimeout: 10_000 })
    const guard = new Guard(context.reportDefect)
    guard.on(this.#server, 'request', (request: IncomingMessage, response: ServerResponse) => {
      const guard = new Guard((thrown) => {
        response.destroy()
        context.reportDefect(thrown)
      })
      guard.watch(this.#answer(request, response))
    })
  }

  /** Resolves with the bound port. */
  listen(address: ListenAddress, onFailure: (error: Error) => void): Promise<number> {
    return listen(this.#server, address, onFailure)
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve())
      this.#server.closeAllConnections()
    })
  }

  async #answer({ method = '', url }: IncomingMessage, response: ServerResponse): Promise<void> {
    const { metrics, isReady } = this.#context
    switch (['GET', 'HEAD'].includes(method) ? url : undefined) {
      case '/metrics': {
        const { contentType, text } = await metrics.expose()
        respond(response, 200, text, contentType)
        break
      }
      case '/healthz':
        respond(response, 200, 'ok\n')
        break
      case '/readyz':
        if (isReady()) respond(response, 200, 'ready\n')
        else respond(response, 503, 'closing\n')
        break
      default:
        respond(response, 404, 'not found\n')
    }
  }
}

function respond(response: ServerResponse, status: number, text: string, contentType = 'text/plain'): void {
  response.writeHead(status, { 'Content-Type': contentType, 'Content-Length': Buffer.byteLength(text) })
  response.end(text)
}
