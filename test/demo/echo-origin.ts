// The demo's origin: an HTTPS server that answers with the request line and the header fields it got, one a line.

import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'

/** A running origin. */
export interface EchoOrigin {
  readonly port: number
  close(): Promise<void>
}

/** Starts an origin on a free port of 127.0.0.1; certificate and key are PEM. */
export async function startEchoOrigin(certificate: {
  readonly cert: string
  readonly key: string
}): Promise<EchoOrigin> {
  const server = createServer(certificate, ({ method, url, headers }, response) => {
    const fields = Object.entries(headers).map(([name, value]) => `  ${name}: ${value}\n`)
    response.setHeader('Content-Type', 'text/plain')
    response.end(`the origin got ${method} ${url}\n${fields.join('')}`)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
