// The preload for Node versions whose built-ins ignore HTTPS_PROXY: before 22.21, and 24.0 to 24.4. NODE_OPTIONS names it.
// It makes https.request, https.get and fetch go through the proxy, with what libraries build on them: got, node-fetch,
// superagent and most SDKs. Newer versions do so by themselves with NODE_USE_ENV_PROXY=1.
//
// Rules:
// - Never in the way: it prints nothing, throws nothing while it loads, and where it is not wanted it asks for a version
//   and ends. Whatever fails here leaves Node as it was.
// - It stands alone: programs of any kind load it, so that it requires nothing but Node's own modules.
// - Only https: goes through the proxy; only by the default agent of node:https and the default dispatcher of fetch. An
//   agent or dispatcher of the program's own keeps its way.
// - The environment is read once, here. NO_PROXY is read as the relay reads it (src/protocol/no-proxy.ts).
// - TLS is Node's own, as are its roots; NODE_EXTRA_CA_CERTS adds to them.
// - Written so that a Node of any age can parse it: no `?.`, no `??`, no spread, no `1_000`, no `node:`.

// biome-ignore-all lint/style/useNodejsImportProtocol: an old Node does not know it

type Socket = import('net').Socket
type TlsSocket = import('tls').TLSSocket
type SocketCallback = (error: Error | null, socket?: Socket) => void

interface Proxy {
  readonly host: string
  readonly port: number
  /** A line of the CONNECT head, or nothing. */
  readonly authorization: string
  isBypassed(host: string, port: number): boolean
}

/** What undici hands to a connector of its Agent. */
interface ConnectOptions {
  readonly hostname: string
  readonly protocol: string
  readonly port: string
  readonly servername?: string | null
}
interface Dispatcher {
  readonly constructor: new (options: {
    connect: (options: ConnectOptions, callback: SocketCallback) => void
  }) => Dispatcher
}

/** A relay answers sooner, by limits of its own; a time limit of the program's begins with the tunnel. */
const CONNECT_TIMEOUT_MS = 60000
const MAX_HEAD_BYTES = 16384
const INSTALLED = Symbol.for('ccr-upstream-proxy.node-preload')
/** Where every copy of undici, Node's own as well, keeps its default dispatcher. */
const GLOBAL_DISPATCHER = Symbol.for('undici.globalDispatcher.1')

try {
  if (isWanted()) install()
} catch (_error) {
  // Node stays as it was.
}

function isWanted(): boolean {
  const { node, bun, deno, electron } = process.versions
  if (bun !== undefined || deno !== undefined || electron !== undefined) return false
  const parts = node.split('.')
  const major = Number(parts[0])
  const minor = Number(parts[1])
  const ignoresProxy = major < 22 || (major === 22 && minor < 21) || major === 23 || (major === 24 && minor < 5)
  return ignoresProxy && !(INSTALLED in globalThis)
}

function install(): void {
  const proxy = readProxy(process.env)
  if (proxy === undefined) return
  Object.defineProperty(globalThis, INSTALLED, { value: true })
  hookHttps(proxy)
  hookFetch(proxy)
}

// -- The environment -------------------------------------------------------------------------------------------------------

/** The lower-case twin wins, as in most tools. */
function readProxy(environment: NodeJS.ProcessEnv): Proxy | undefined {
  const address = environment.https_proxy || environment.HTTPS_PROXY
  if (!address) return undefined
  const url = new URL(address)
  if (url.protocol !== 'http:') return undefined
  const credentials = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`
  const basic = Buffer.from(credentials).toString('base64')
  const noProxy = environment.no_proxy || environment.NO_PROXY || ''
  return {
    host: withoutBrackets(url.hostname),
    port: Number(url.port || 80),
    authorization: credentials === ':' ? '' : `Proxy-Authorization: Basic ${basic}\r\n`,
    isBypassed: (host, port) => isInNoProxy(noProxy, host, port),
  }
}

/** Whether `list` names `host` (a name, or an address without brackets) at `port`. */
function isInNoProxy(list: string, host: string, port: number): boolean {
  return list.split(/[\s,]+/).some((entry) => entry !== '' && matchesEntry(entry, host, port))
}

function matchesEntry(entry: string, host: string, port: number): boolean {
  if (entry === '*') return true
  const parts = /^(\[[^\]]*\]|[^:]*)(?::([0-9]+))?$/.exec(entry)
  if (parts !== null && parts[2] !== undefined && Number(parts[2]) !== port) return false
  const pattern = withoutBrackets(parts === null ? entry : (parts[1] as string))
  if (requireNet().isIP(host) !== 0) return matchesNetwork(pattern, host)
  const suffix = withoutDot(pattern.replace(/^\*?\./, ''))
  const name = withoutDot(host)
  return suffix !== '' && (name === suffix || name.slice(-suffix.length - 1) === `.${suffix}`)
}

function matchesNetwork(pattern: string, address: string): boolean {
  const net = requireNet()
  const parts = pattern.split('/')
  const network = parts[0] as string
  const version = net.isIP(network)
  if (version === 0 || version !== net.isIP(address) || parts.length > 2) return false
  const family = version === 4 ? 'ipv4' : 'ipv6'
  const widest = version === 4 ? 32 : 128
  const bits = parts[1] === undefined ? widest : Number(/^[0-9]{1,3}$/.test(parts[1]) ? parts[1] : Number.NaN)
  if (!(bits <= widest)) return false
  const list = new net.BlockList()
  list.addSubnet(network, bits, family)
  return list.check(address, family)
}

function withoutBrackets(host: string): string {
  return host.replace(/^\[|\]$/g, '')
}

function withoutDot(name: string): string {
  return name.replace(/\.$/, '').toLowerCase()
}

function requireNet(): typeof import('net') {
  return require('net')
}

// -- node:https ------------------------------------------------------------------------------------------------------------

interface AgentConnectOptions {
  readonly host?: string | null
  readonly port?: number | string | null
  readonly socket?: unknown
  readonly socketPath?: unknown
}
interface ConnectingAgent {
  createConnection(options: AgentConnectOptions, callback?: SocketCallback): Socket | undefined
}

function hookHttps(proxy: Proxy): void {
  const https: typeof import('https') = require('https')
  const agent = https.globalAgent as unknown as ConnectingAgent
  const original = agent.createConnection
  agent.createConnection = function createConnection(options, callback) {
    const host = withoutBrackets(String(options.host || ''))
    const port = Number(options.port || 443)
    const isOwn = Boolean(options.socket || options.socketPath)
    if (callback === undefined || isOwn || !isProxied(proxy, host, port)) return original.call(this, options, callback)
    openTunnel(proxy, host, port, (error, socket) => {
      // The original remembers TLS sessions.
      if (error !== null) callback(error)
      else callback(null, original.call(this, Object.assign({}, options, { socket })))
    })
    return undefined
  }
}

/** Whether a host that can stand in a CONNECT is not to be left alone. */
function isProxied(proxy: Proxy, host: string, port: number): boolean {
  return /^[\w.:-]+$/.test(host) && !proxy.isBypassed(host, port)
}

// -- fetch -----------------------------------------------------------------------------------------------------------------

/** undici is loaded by the first fetch, and then has a default dispatcher that can be replaced. */
function hookFetch(proxy: Proxy): void {
  const original = globalThis.fetch
  if (typeof original !== 'function') return
  let isFirst = true
  globalThis.fetch = function fetch(input, init = undefined) {
    if (isFirst) {
      isFirst = false
      replaceDispatcher(proxy, original)
    }
    return original(input, init)
  }
}

/** Only a dispatcher that nobody has configured is replaced, by one of its own kind. */
function replaceDispatcher(proxy: Proxy, fetch: typeof globalThis.fetch): void {
  try {
    const holder = globalThis as unknown as Record<symbol, Dispatcher | undefined>
    if (holder[GLOBAL_DISPATCHER] === undefined) fetch('data:,').catch(() => {})
    const current = holder[GLOBAL_DISPATCHER]
    if (current === undefined || !isDefaultAgent(current)) return
    const Agent = current.constructor
    holder[GLOBAL_DISPATCHER] = new Agent({ connect: (options, callback) => connect(proxy, options, callback) })
  } catch (_error) {
    // fetch stays as it was.
  }
}

/** An Agent whose options, kept under a symbol of its own, say nothing. */
function isDefaultAgent(dispatcher: Dispatcher): boolean {
  if (dispatcher.constructor.name !== 'Agent') return false
  const holder = dispatcher as unknown as Record<symbol, Record<string, unknown>>
  const key = Object.getOwnPropertySymbols(dispatcher).find((symbol) => String(symbol) === 'Symbol(options)')
  const options = key === undefined ? undefined : holder[key]
  return options !== undefined && Object.keys(options).every((name) => options[name] === undefined)
}

/** What undici's own connector does, and the tunnel: redirects lead a request to http: and to hosts of NO_PROXY too. */
function connect(proxy: Proxy, options: ConnectOptions, callback: SocketCallback): void {
  const net = requireNet()
  const host = withoutBrackets(options.hostname)
  if (options.protocol !== 'https:') {
    whenConnected(net.connect({ host, port: Number(options.port || 80) }), 'connect', callback)
    return
  }
  const port = Number(options.port || 443)
  const secure = (socket?: Socket): void => {
    const tls: typeof import('tls') = require('tls')
    const servername = options.servername || (net.isIP(host) === 0 ? host : '')
    const common = { host, port, servername, ALPNProtocols: ['http/1.1'] }
    const secured: TlsSocket = tls.connect(socket === undefined ? common : Object.assign({ socket }, common))
    whenConnected(secured, 'secureConnect', callback)
  }
  if (!isProxied(proxy, host, port)) {
    secure()
    return
  }
  openTunnel(proxy, host, port, (error, socket) => {
    if (error === null) secure(socket)
    else callback(error)
  })
}

function whenConnected(socket: Socket, event: 'connect' | 'secureConnect', callback: SocketCallback): void {
  const onTimeout = (): void => {
    socket.destroy(Object.assign(new Error('Connect Timeout Error'), { code: 'UND_ERR_CONNECT_TIMEOUT' }))
  }
  const onError = (error: Error): void => callback(error)
  socket.setNoDelay(true)
  socket.setKeepAlive(true, 60000)
  socket.setTimeout(CONNECT_TIMEOUT_MS, onTimeout)
  socket.once('error', onError)
  socket.once(event, () => {
    socket.setTimeout(0)
    socket.removeListener('timeout', onTimeout)
    socket.removeListener('error', onError)
    callback(null, socket)
  })
}

// -- CONNECT (RFC 9110, section 9.3.6) -------------------------------------------------------------------------------------

/** Opens a tunnel; calls back once, with a socket that nobody listens to, or with what went wrong. */
function openTunnel(proxy: Proxy, host: string, port: number, callback: SocketCallback): void {
  const net = requireNet()
  const authority = `${net.isIPv6(host) ? `[${host}]` : host}:${port}`
  const socket = net.connect({ host: proxy.host, port: proxy.port })
  const fail = (what: string): void => finish(tunnelError(proxy, `${what} to CONNECT ${authority}`))
  const listeners: Record<string, (argument: never) => void> = {
    error: (error: Error) => finish(error),
    end: () => fail('gave no answer'),
    timeout: () => fail('gave no answer in time'),
    data: createHeadReader(socket, fail, () => finish(null)),
  }
  const finish = (error: Error | null): void => {
    socket.setTimeout(0)
    for (const name of Object.keys(listeners)) socket.removeListener(name, listeners[name] as () => void)
    if (error === null) {
      callback(null, socket)
      return
    }
    socket.on('error', () => {})
    socket.destroy()
    callback(error)
  }

  for (const name of Object.keys(listeners)) socket.on(name, listeners[name] as () => void)
  socket.setNoDelay(true)
  socket.setTimeout(CONNECT_TIMEOUT_MS)
  socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${proxy.authorization}\r\n`)
}

/** Collects the answer's head; what comes behind it goes back into the socket. */
function createHeadReader(socket: Socket, fail: (what: string) => void, succeed: () => void): (chunk: Buffer) => void {
  let head: Buffer = Buffer.alloc(0)
  return (chunk) => {
    head = Buffer.concat([head, chunk])
    const end = head.indexOf('\r\n\r\n')
    if (end === -1) {
      if (head.length > MAX_HEAD_BYTES) fail('gave a head without an end')
      return
    }
    const status = /^HTTP\/1\.[01] ([0-9]{3}.*)/.exec(head.toString('latin1', 0, end))
    if (status === null || (status[1] as string)[0] !== '2') {
      fail(`answered ${status === null ? 'no HTTP' : status[1]}`)
      return
    }
    socket.pause()
    const rest = head.slice(end + 4)
    if (rest.length > 0) socket.unshift(rest)
    succeed()
  }
}

function tunnelError(proxy: Proxy, what: string): Error {
  // The code that Node's own proxy support has for it.
  return Object.assign(new Error(`the proxy ${proxy.host}:${proxy.port} ${what}`), { code: 'ERR_PROXY_TUNNEL' })
}

// For a test that both readings of NO_PROXY are one.
export = { isInNoProxy }
