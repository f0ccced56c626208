// The operator's own port: metrics, and the probes of an orchestrator. It takes no input but the path, and shows nothing
// that an agent may not see; still it is on loopback unless the config says otherwise.

import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Metrics } from '../audit/metrics.js'
import type { ListenAddress } from '../config/config-schema.js'

/** Serves `/metrics`, `/healthz` (the process lives) and `/readyz` (it takes tunnels). */
export class AdminServer {
  readonly #server: Server

  constructor(metrics: Metrics, isReady: () => boolean) {
    this.#server = createServer({ headersTimeout: 10_000, requestTimeout: 10_000 }, (request, response) => {
      const isRead = request.method === 'GET' || request.method === 'HEAD'
      switch (isRead ? request.url : undefined) {
        case '/metrics':
          metrics.expose().then(
            ({ contentType, text }) => respond(response, 200, text, contentType),
            () => respond(response, 500, 'the metrics cannot be collected\n'),
          )
          break
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
    })
  }

  /** Resolves with the bound port. */
  listen({ host, port }: ListenAddress): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen({ host, port }, () => resolve((this.#server.address() as AddressInfo).port))
    })
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve())
      this.#server.closeAllConnections()
    })
  }
}

function respond(response: ServerResponse, status: number, text: string, contentType = 'text/plain'): void {
  response.writeHead(status, { 'Content-Type': contentType, 'Content-Length': Buffer.byteLength(text) })
  response.end(text)
}
