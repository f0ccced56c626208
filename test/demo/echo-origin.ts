// The demo's origin: it answers with the request line and the header fields it got, one a line.

import { type Origin, startOrigin } from '../support/origin.js'
import type { Scope } from '../support/temp-dir.js'
import type { TestCertificate } from '../support/test-ca.js'

/** Starts the origin; it is closed with `scope`. */
export function startEchoOrigin(scope: Scope, certificate: TestCertificate): Promise<Origin> {
  return startOrigin(scope, {
    certificate,
    handler: ({ method, url, headers }, response) => {
      const fields = Object.entries(headers).map(([name, value]) => `  ${name}: ${value}\n`)
      response.setHeader('Content-Type', 'text/plain')
      response.end(`the origin got ${method} ${url}\n${fields.join('')}`)
    },
  })
}
