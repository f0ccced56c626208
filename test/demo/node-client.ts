// A small client for the demo where curl is not installed: `node node-client.js URL`. It takes the proxy from HTTPS_PROXY
// and what it trusts from SSL_CERT_FILE, and prints what came back. http:// is asked of the proxy in plain HTTP.

import { readFileSync } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import { requestThroughTunnel } from '../support/connect-client.js'

const { HTTPS_PROXY: proxyUrl = '', SSL_CERT_FILE: caFile = '' } = process.env
const [, , url = ''] = process.argv

if (url.startsWith('https:')) {
  const { body } = await requestThroughTunnel({ url, proxyUrl, ca: readFileSync(caFile, 'utf8') })
  process.stdout.write(body)
} else {
  const response = await askProxy()
  process.stdout.write(`HTTP/${response.httpVersion} ${response.statusCode} ${response.statusMessage}\n`)
  for (const [name, value] of Object.entries(response.headers)) process.stdout.write(`${name}: ${value}\n`)
  process.stdout.write('\n')
  for await (const piece of response) process.stdout.write(piece)
}

/** The absolute form of a request (RFC 9112, section 3.2.2), as a client with HTTP_PROXY sends it. */
function askProxy(): Promise<IncomingMessage> {
  const { hostname: host, port } = new URL(proxyUrl)
  return new Promise((resolve, reject) => {
    request({ host, port, path: url, headers: { Host: new URL(url).host } }, resolve)
      .on('error', reject)
      .end()
  })
}
