// One reading of a request, over both protocols: what a rule matched is what the origin gets, byte for byte, and what an
// origin could read as another request is refused before it is dialled.

import assert from 'node:assert/strict'
import type { ClientHttp2Session } from 'node:http2'
import { type TestContext, test } from 'node:test'
import type { HttpProtocol, SeenRequest } from '../support/origin.js'
import { HOST, startGateway, type TestGateway } from './fixture.js'
import { ask } from './http2-client.js'
import { PATHS } from './path-corpus.js'

const OTHER = 'other.example.com'
const BY_PATH = [{ path: '/admin' }, { path: '/v1' }, {}]

const set = (value: string) => [{ headers: { 'x-key': value } }]

/** HOST has the rules `matches`, each with its place in the list as the credential; `other` has one for all. */
function start(scope: TestContext, matches: readonly object[], protocol: HttpProtocol = 'http1'): Promise<TestGateway> {
  return startGateway(scope, {
    origin: { protocol },
    rules: {
      [HOST]: matches.map((match, at) => ({ match, transform: set(`key ${at}`) })),
      [OTHER]: [{ transform: set('key of other') }],
    },
  })
}

interface Asked {
  readonly host?: string
  readonly method?: string
  readonly path?: string
  readonly fields?: readonly (readonly [name: string, value: string])[]
}

/** The status, and the code of a refusal. */
type Answer = readonly [status: number, code: string | undefined]

interface Client {
  ask(...requests: Asked[]): Promise<Answer[]>
}

/** Over HTTP/1.1: on in another tunnel after a refusal, which ends one. */
function http1Client(gateway: TestGateway, tunnelHost = HOST): Client {
  return {
    async ask(...requests) {
      const answers: Answer[] = []
      let client = await gateway.openHttp1(tunnelHost)
      for (const request of requests) {
        if ((answers.at(-1)?.[0] ?? 0) >= 400) client = await gateway.openHttp1(tunnelHost)
        const { status, body } = await client.ask(encode(request, tunnelHost))
        answers.push([status, codeIn(body)])
      }
      return answers
    },
  }
}

function encode({ host, method = 'GET', path = '/', fields = [] }: Asked, tunnelHost: string): string {
  const lines = [['Host', host ?? tunnelHost], ...fields].map(([name, value]) => `${name}: ${value}\r\n`)
  return `${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`
}

/** Over HTTP/2, all of them in one session. */
async function http2Client(gateway: TestGateway, tunnelHost = HOST): Promise<Client> {
  const { session } = await gateway.openHttp2(tunnelHost)
  return {
    async ask(...requests) {
      const answers: Answer[] = []
      for (const request of requests) answers.push(await askHttp2(session, { host: tunnelHost, ...request }))
      return answers
    },
  }
}

async function askHttp2(session: ClientHttp2Session, request: Asked): Promise<Answer> {
  const { host, method = 'GET', path = '/', fields = [] } = request
  const headers = Object.fromEntries(fields.map(([name, value]) => [name.toLowerCase(), value]))
  const answer = await ask(session, { ':authority': host, ':method': method, ':path': path, ...headers })
  return [answer.status, codeIn(answer.text)]
}

function codeIn(text: string): string | undefined {
  return /"hop":"gateway","code":"([a-z-]+)"/.exec(text)?.[1]
}

function fieldOf({ rawHeaders }: SeenRequest, name: string): string | undefined {
  return rawHeaders[rawHeaders.findIndex((field) => field.toLowerCase() === name) + 1]
}

for (const protocol of ['http/1.1', 'h2'] as const) {
  const clientOf = (gateway: TestGateway, host?: string): Promise<Client> | Client =>
    protocol === 'h2' ? http2Client(gateway, host) : http1Client(gateway, host)

  test(`${protocol}: ${PATHS.length} paths reach the origin as they came, with the credential of their rule, or are refused`, async (context) => {
    const gateway = await start(context, BY_PATH)
    const client = await clientOf(gateway)
    const answers = await client.ask(...PATHS.map(([path]) => ({ path })))
    assert.deepEqual(
      PATHS.map(([path], at) => [path, ...(answers[at] as Answer)]),
      PATHS.map(([path, reading]) => [path, ...(reading === 'refused' ? [400, 'ambiguous-path'] : [200, undefined])]),
    )
    const rules: readonly string[] = ['/admin', '/v1', '*']
    const reached = PATHS.filter(([, reading]) => reading !== 'refused')
    assert.deepEqual(
      gateway.origin.requests.map((request) => [request.path, fieldOf(request, 'x-key')]),
      reached.map(([path, reading]) => [path, `key ${rules.indexOf(reading)}`]),
    )
    const records = await gateway.untilRecords(PATHS.length)
    assert.deepEqual(
      records.map((record) => 'path' in record && [record.path, record.rule ?? record.error]),
      PATHS.map(([path, reading]) => {
        return [path.split('?', 1)[0], reading === 'refused' ? 'ambiguous-path' : `${HOST}[${rules.indexOf(reading)}]`]
      }),
    )
  })

  test(`${protocol}: on a host whose rules are not by path, all of them reach the origin as they came`, async (context) => {
    const gateway = await start(context, BY_PATH)
    const client = await clientOf(gateway, OTHER)
    await client.ask(...PATHS.map(([path]) => ({ path })))
    assert.deepEqual(
      gateway.origin.requests.map((request) => [request.path, fieldOf(request, 'x-key')]),
      PATHS.map(([path]) => [path, 'key of other']),
    )
  })

  test(`${protocol}: TRACE, TRACK and CONNECT are refused in any case, and every other method that is not in upper case`, async (context) => {
    const gateway = await start(context, [{ method: 'GET' }, {}])
    const client = await clientOf(gateway)
    const never = ['TRACE', 'trace', 'Trace', 'TRACK', 'track', 'connect', 'Connect']
    // Over HTTP/2 it has a form of its own: see raw-http2.test.ts.
    if (protocol === 'http/1.1') never.push('CONNECT')
    const methods = [...never, 'get', 'Get', 'gET', 'head', 'Post', 'pATCH', 'list', 'purge', 'Propfind']
    const answers = await client.ask(...methods.map((method) => ({ method })))
    assert.deepEqual(answers, Array(methods.length).fill([405, 'method-not-allowed']))
    assert.equal(gateway.origin.connections, 0)
    const records = await gateway.untilRecords(methods.length)
    assert.deepEqual(
      records.map((record) => record.mode === 'intercept' && [record.method, record.status, record.error]),
      methods.map((method) => [method, 405, 'method-not-allowed']),
    )
    // None of them is left over to be waited for.
    await gateway.close()
  })

  test(`${protocol}: Host in any spelling of the CONNECT's is taken, what is no host is 400, another host 421`, async (context) => {
    const gateway = await start(context, [{}])
    const client = await clientOf(gateway)
    const same = ['API.Example.COM', `${HOST}.`, `${HOST}:443`, `${HOST.toUpperCase()}.:443`]
    const hosts = [...same, ...NO_HOST, ...OTHER_HOST]
    const answers = await client.ask(...hosts.map((host) => ({ host })))
    // Of what is no host nghttp2 resets a part itself.
    const isReset = ([status]: Answer) => protocol === 'h2' && status === 0
    assert.deepEqual(
      hosts.map((host, at) => [
        host,
        ...(isReset(answers[at] as Answer) ? [400, 'bad-request'] : (answers[at] as Answer)),
      ]),
      [
        ...same.map((host) => [host, 200, undefined]),
        ...NO_HOST.map((host) => [host, 400, 'bad-request']),
        ...OTHER_HOST.map((host) => [host, 421, 'misdirected']),
      ],
    )
    const named = gateway.origin.requests.map((request) => fieldOf(request, 'host') ?? fieldOf(request, ':authority'))
    assert.deepEqual(named, same)
  })
}

/** What RFC 9112, section 3.2, has 400 for: no host, more than one, or something besides. */
const NO_HOST = [
  '',
  `user@${HOST}`,
  `user:password@${HOST}`,
  `${HOST}/`,
  `${HOST}/path`,
  `${HOST}?query`,
  `${HOST}#fragment`,
  `${HOST},${OTHER}`,
  `${HOST}, ${HOST}`,
  `${HOST} ${OTHER}`,
  `${HOST};x`,
  `${HOST}:`,
  `${HOST}:0443`,
  `${HOST}:443:443`,
  `${HOST}:+443`,
  `${HOST}:65536`,
  `${HOST}:https`,
  `${HOST}..`,
  `.${HOST}`,
  'api..example.com',
  'api%2eexample.com',
  `${HOST}%00.example.com`,
  `https://${HOST}`,
  '*.example.com',
  '[::1',
  '::1',
  '[fe80::1%25eth0]',
  '2130706433',
  '127.1',
  '0x7f000001',
  '127.0.0.01',
  '"',
  'api.example.com\\@evil.example',
]

const OTHER_HOST = [
  OTHER,
  `${HOST}:8443`,
  `${HOST}:80`,
  `x.${HOST}`,
  'example.com',
  '127.0.0.1',
  '[::1]:443',
  'api_example.com',
]

/** Over HTTP/1.1 the parser of the origin, which is node's, knows no others. */
const METHODS = {
  http1: ['MKCOL', 'GET', 'PURGE', 'M-SEARCH'],
  http2: ['MKCOL', 'GET', 'PURGE', 'LIST', 'HIDE', "!#$%&'*+-.^_`|~0"],
} as const

for (const [protocol, methods] of Object.entries(METHODS) as [keyof typeof METHODS, readonly string[]][]) {
  test(`${protocol}: methods are matched and sent byte for byte`, async (context) => {
    const gateway = await start(context, [{ method: ['PURGE', 'LIST'] }, {}], protocol)
    const client = protocol === 'http1' ? http1Client(gateway) : await http2Client(gateway)
    const answers = await client.ask(...methods.map((method) => ({ method })))
    assert.deepEqual(answers, Array(methods.length).fill([200, undefined]))
    assert.deepEqual(
      gateway.origin.requests.map((request) => [request.method, fieldOf(request, 'x-key')]),
      methods.map((method) => [method, ['PURGE', 'LIST'].includes(method) ? 'key 0' : 'key 1']),
    )
  })
}

test('Authorization fields of different schemes are refused where the rules are by scheme', async (context) => {
  const gateway = await start(context, [{ scheme: 'basic' }, { scheme: 'bearer' }, {}])
  const askWith = (host: string, ...values: string[][]) => {
    const fieldsOf = (fields: string[]) => fields.map((value) => ['Authorization', value] as const)
    return http1Client(gateway, host).ask(...values.map((fields) => ({ fields: fieldsOf(fields) })))
  }
  const different = ['Basic eDp5', 'Bearer x']
  const answers = await askWith(HOST, ['bAsIc eDp5'], ['Basic eDp5', 'Basic eDp6'], different)
  assert.deepEqual(answers, [
    [200, undefined],
    [200, undefined],
    [400, 'bad-request'],
  ])
  assert.deepEqual(await askWith(OTHER, different), [[200, undefined]])
  const keys = gateway.origin.requests.map((request) => fieldOf(request, 'x-key'))
  assert.deepEqual(keys, ['key 0', 'key 0', 'key of other'])
})
