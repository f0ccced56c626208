// An HTTPS server of node's alone, in a process of its own. A program: start it with fork() and send it its certificate; it answers
// with its port.

import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TestCertificate } from '../../support/test-ca.js'

process.once('message', (certificate: TestCertificate) => {
  const server = createServer(certificate, (request, response) => {
    request.resume().once('end', () => response.end('plain'))
  })
  // A bystander that is paused comes back.
  server.keepAliveTimeout = 0
  server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))
})
