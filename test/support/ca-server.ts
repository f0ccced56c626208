// A server that stands where the gateway's CA should be and answers by the first segment of the path, well or badly. It
// remembers who came.

import { createServer, type ServerResponse } from 'node:http'
import { listen } from './listening.js'
import type { Scope } from './temp-dir.js'
import { createTestCa } from './test-ca.js'

/** A root (CA:TRUE) that was valid on the first day of 2020. */
const EXPIRED_ROOT = `-----BEGIN CERTIFICATE-----
MIIBPjCB5qADAgECAgEBMAoGCCqGSM49BAMCMBcxFTATBgNVBAMTDGV4cGlyZWQg
cm9vdDAeFw0yMDAxMDEwMDAwMDBaFw0yMDAxMDIwMDAwMDBaMBcxFTATBgNVBAMT
DGV4cGlyZWQgcm9vdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABILNIF2ySLL6
Y3jR2y5kVpeWeu2Xy448llThJEohTPVIMHnL3PvQIyG0b7byt0yE6TraDdttZMOD
K749EcWfcqmjIzAhMA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgIEMAoG
CCqGSM49BAMCA0cAMEQCIAeOCcls+0sUa6/ICVA2hBzCmSA2jaH+rIWft/7SUNnc
AiAR0TuNsITkAkNGvXDIzaAXgLsYDL1Q+NMt7LXJsd7avw==
-----END CERTIFICATE-----
`

/** A running server. */
export interface CaServer {
  /** `http://127.0.0.1:port` */
  readonly url: string
  /** Paths that were asked for, in order. */
  readonly requests: readonly string[]
  /** Settles when somebody asks for `held`; the answer goes out when its function is called. */
  readonly held: Promise<() => void>
}

/**
 * Starts the server. The base URL of the proxy is `${url}/NAME`, with NAME one of: good, not-found, html, large, leaf,
 * expired, short (expires in 6 seconds, then good), elsewhere (a redirect to `elsewhere`), moved (one to good), held (good, but only when told), silent.
 */
export async function startCaServer(scope: Scope, elsewhere = 'http://127.0.0.1:1'): Promise<CaServer> {
  const ca = await createTestCa('some root')
  const leaf = await ca.serverCertificate('leaf.example.test')
  let shortAnswers = 0
  const redirect = (response: ServerResponse, location: string): void => {
    response.writeHead(302, { Location: location }).end()
  }
  let hold: (release: () => void) => void = () => {}
  const held = new Promise<() => void>((resolve) => {
    hold = resolve
  })
  const answers: Readonly<Record<string, (response: ServerResponse, path: string) => unknown>> = {
    good: (response) => response.end(ca.rootPem),
    'not-found': (response) => response.writeHead(404).end(ca.rootPem),
    html: (response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end('<!doctype html><p>Sign in'),
    large: (response) => response.end(ca.rootPem + '\n'.repeat(1024 * 1024)),
    leaf: (response) => response.end(leaf.cert),
    // Its six seconds begin when it is asked for.
    short: async (response) => {
      const { rootPem } = shortAnswers++ === 0 ? await createTestCa('short root', { days: 6 / 86_400 }) : ca
      response.end(rootPem)
    },
    expired: (response) => response.end(EXPIRED_ROOT),
    elsewhere: (response) => redirect(response, `${elsewhere}/good/upstreamproxy/ca-cert`),
    moved: (response) => redirect(response, '/good/upstreamproxy/ca-cert'),
    held: (response) => hold(() => response.end(ca.rootPem)),
    silent: () => {},
  }
  const requests: string[] = []
  const server = createServer(({ url = '' }, response) => {
    requests.push(url)
    const answer = answers[url.split('/')[1] ?? '']
    if (answer === undefined) response.writeHead(500).end()
    else answer(response, url)
  })
  // There is no gateway behind it: WebSockets are not what the answers are for.
  server.on('upgrade', (_request, socket) => socket.destroy())
  const { address } = await listen(scope, server)
  return { url: `http://${address}`, requests, held }
}
