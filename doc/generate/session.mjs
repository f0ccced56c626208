// A whole session on the wire, for doc/protocol.md: a real relay, the real gateway and an origin, with a tap on the TCP
// connection between the first two. What is random or changes from run to run is replaced: the nonce and the masking key
// by those of RFC 6455 (sections 1.3 and 5.7), with the payload masked anew; the port; the request id, if there is one.

import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createCertificateAuthority, hashToken, loadGatewayConfig, startGateway } from 'ccr-upstream-gateway'
import { startRelay } from '../../dist/index.js'

const TOKEN = 'the-token'
const SESSION = 'session'
const TARGET = 'origin.example:443'

const NONCE = 'dGhlIHNhbXBsZSBub25jZQ=='
const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='
const MASKING_KEY = Buffer.from('37fa213d', 'hex')
const PORT = '8443'

/** What each side sends, in order. */
const STEPS = [
  ['relay', 'asks for a WebSocket'],
  ['gateway', 'takes it'],
  ['relay', 'sends the CONNECT head, and `one`, which the client had sent behind its own head'],
  ['gateway', 'opens the tunnel'],
  ['relay', 'sends `two`'],
  ['relay', 'ends its direction, because the client has sent a FIN'],
  ['gateway', 'sends `three`, from the origin'],
  ['gateway', 'closes with 1000, because the origin has ended too'],
  ['relay', 'answers the close'],
]

/** The session as Markdown: who does what, and the bytes. */
export async function drawSession() {
  const flows = await recordSession()
  const units = { relay: readUnits(flows.relay, flows.tap), gateway: readUnits(flows.gateway, flows.tap) }
  const reading = readAloud(flows.relay.subarray(headLength(flows.relay)))
  const drawn = STEPS.map(([side, does]) => {
    const unit = units[side].shift()
    if (unit === undefined) throw new Error(`the ${side} did not send that it ${does}`)
    return `The ${side} ${does}:\n\n\`\`\`\n${unit}\n\`\`\``
  })
  if (units.relay.length + units.gateway.length > 0) throw new Error('more was sent than the steps say')
  return [...drawn, reading].join('\n\n')
}

/** A frame of the relay in words. */
function readAloud(bytes) {
  const { header, payload } = readFrame(bytes)
  const hex = (part) => `\`${part.toString('hex').replaceAll(/../g, '$& ').trim()}\``
  return `The relay's first frame reads: ${hex(header.subarray(0, 1))} a whole binary message; ${hex(header.subarray(1))} masked,\n${payload.length} bytes; ${hex(MASKING_KEY)} the key; then, without the mask, ${hex(payload.subarray(0, 2))}: ${payload[1]} bytes of data.`
}

/** Runs the session; all bytes of both directions. */
async function recordSession() {
  const undo = []
  try {
    const origin = await listen(createServer({ allowHalfOpen: true }, answerThree), undo)
    const gateway = await startSessionGateway(origin, undo)
    const flows = { relay: [], gateway: [] }
    const ended = deferred()
    const tap = await listen(
      createServer((relaySide) => tapConnection(relaySide, gateway.port, flows, ended.resolve)),
      undo,
    )
    const relay = await startRelay({
      tunnelUrl: `ws://127.0.0.1:${tap}/upstreamproxy/ws`,
      token: TOKEN,
      sessionId: SESSION,
      limits: { maxWarmTunnels: 0 },
    })
    undo.push(() => relay.close(0))
    await runClient(relay.port)
    await ended.promise
    return { relay: Buffer.concat(flows.relay), gateway: Buffer.concat(flows.gateway), tap }
  } finally {
    for (const step of undo.reverse()) await step()
  }
}

function deferred() {
  let resolve
  const promise = new Promise((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}

async function listen(server, undo) {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  undo.push(() => server.close())
  return server.address().port
}

/** Says `three` and ends, once the client has ended. */
function answerThree(socket) {
  socket
    .on('error', () => {})
    .on('end', () => socket.end('three'))
    .resume()
}

async function startSessionGateway(originPort, undo) {
  const folder = mkdtempSync(join(tmpdir(), 'ccr-session-'))
  undo.push(() => rmSync(folder, { recursive: true, force: true }))
  const authority = await createCertificateAuthority({ days: 1 })
  const write = (name, text) => writeFileSync(join(folder, name), text, { mode: 0o600 })
  write('ca.pem', authority.certificatePem)
  write('ca.key', authority.privateKeyPem())
  write(
    'gateway.yaml',
    `listen: 127.0.0.1:0
ca: { certificate: ca.pem, key: ca.key }
sessions: [{ id: ${SESSION}, tokenSha256: ${hashToken(TOKEN)} }]
upstream: { connectTo: { "${TARGET}": "127.0.0.1:${originPort}" } }
`,
  )
  const gateway = await startGateway(loadGatewayConfig(join(folder, 'gateway.yaml'), {}), { audit: () => {} })
  undo.push(() => gateway.close())
  return gateway
}

function tapConnection(relaySide, gatewayPort, flows, onEnd) {
  const gatewaySide = connect(gatewayPort, '127.0.0.1')
  for (const [from, to, flow] of [
    [relaySide, gatewaySide, flows.relay],
    [gatewaySide, relaySide, flows.gateway],
  ]) {
    from.on('error', () => to.destroy()).on('data', (bytes) => flow.push(bytes))
    from.pipe(to)
  }
  gatewaySide.once('close', onEnd)
}

/** A client that sends its first bytes along with its CONNECT, and more when the tunnel is open. */
async function runClient(port) {
  const client = connect(port, '127.0.0.1')
  client.write(`CONNECT ${TARGET} HTTP/1.1\r\nHost: ${TARGET}\r\n\r\none`)
  await once(client, 'data')
  client.end('two')
  for await (const bytes of client) void bytes
}

// -- From bytes to text ------------------------------------------------------------------------------------------------

/** The HTTP head, then each frame. */
function readUnits(bytes, tap) {
  const headEnd = headLength(bytes)
  const units = [drawHttpHead(bytes.subarray(0, headEnd).toString('latin1'), tap)]
  for (let at = headEnd; at < bytes.length; ) {
    const frame = readFrame(bytes.subarray(at))
    units.push(drawFrame(frame))
    at += frame.length
  }
  return units
}

function headLength(bytes) {
  return bytes.indexOf('\r\n\r\n') + 4
}

function drawHttpHead(head, tap) {
  return head
    .replaceAll(`127.0.0.1:${tap}`, `127.0.0.1:${PORT}`)
    .replace(/^(Sec-WebSocket-Key: ).*$/im, `$1${NONCE}`)
    .replace(/^(Sec-WebSocket-Accept: ).*$/im, `$1${ACCEPT}`)
    .replaceAll('\r\n', '\n')
    .trimEnd()
}

/** RFC 6455, section 5.2. */
function readFrame(bytes) {
  const isMasked = bytes[1] >= 0x80
  const short = bytes[1] & 0x7f
  const lengthBytes = short === 126 ? 2 : 0
  const payloadLength = short === 126 ? bytes.readUInt16BE(2) : short
  const keyAt = 2 + lengthBytes
  const payloadAt = keyAt + (isMasked ? 4 : 0)
  const length = payloadAt + payloadLength
  if (short === 127 || bytes.length < length) throw new Error('a frame is longer than the session can have')
  const payload = Buffer.from(bytes.subarray(payloadAt, length))
  if (isMasked) mask(payload, bytes.subarray(keyAt, payloadAt))
  return { isMasked, length, header: bytes.subarray(0, keyAt), payload: withFixedRequestId(payload) }
}

function mask(payload, key) {
  for (let at = 0; at < payload.length; at++) payload[at] ^= key[at % 4]
}

function withFixedRequestId(payload) {
  const text = payload.toString('latin1')
  return Buffer.from(
    text.replace(/(?<=x-request-id: )[^\r]*/i, (id) => id.replaceAll(/[0-9a-zA-Z]/g, '0')),
    'latin1',
  )
}

function drawFrame({ isMasked, header, payload }) {
  const onWire = Buffer.from(payload)
  if (isMasked) mask(onWire, MASKING_KEY)
  const bytes = Buffer.concat([header, ...(isMasked ? [MASKING_KEY] : []), onWire])
  const lines = [dump(bytes)]
  if (isMasked) lines.push('without the mask', dump(payload))
  return lines.join('\n')
}

/** Sixteen bytes a line, as hexdump -C has them. */
function dump(bytes) {
  const lines = []
  for (let at = 0; at < bytes.length; at += 16) {
    const row = bytes.subarray(at, at + 16)
    const hex = row.toString('hex').replaceAll(/../g, '$& ').padEnd(48)
    const text = row.toString('latin1').replaceAll(/[^ -~]/g, '.')
    lines.push(`  ${at.toString(16).padStart(4, '0')}  ${hex} ${text}`)
  }
  return lines.join('\n')
}
