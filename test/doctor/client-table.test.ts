// The table of clients is in step with the table of variables, and its questions cannot be mistaken for their answers.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { CLIENTS } from '#src/doctor/client-table.js'
import { CHILD_VARIABLES } from '#src/system/children/variables.js'

const TARGET = { url: 'https://h.example.test/some/path', origin: 'https://h.example.test', host: 'h.example.test' }

/** What versions of clients were seen to say, shortened: of an answer, and of none. */
const WORDS: readonly { client: string; version: string; ofAnswers: readonly string[]; ofNone: readonly string[] }[] = [
  {
    client: 'yarn',
    version: '1',
    ofAnswers: [
      `error Couldn't find package "p" on the "npm" registry.`,
      'error Received malformed response from registry for "p". The registry may be down.',
      'error Error: Request "https://h/p" returned a 403',
      'info There appears to be trouble with the npm registry (returned undefined). Retrying...',
    ],
    ofNone: [
      'error Error: unable to verify the first certificate',
      'info There appears to be trouble with your network connection. Retrying...',
    ],
  },
  {
    client: 'yarn',
    version: '2',
    ofAnswers: [
      'Syntax Error: Unexpected end of JSON input',
      'Internal Error: Registry returned invalid data - missing "dist-tags" field',
      'HTTPError: Response code 301 (Moved Permanently)',
      'Internal Error: Invalid authentication (as an anonymous user)',
    ].map((reason) => `➤ YN0027: p@unknown can't be resolved to a satisfying range:\n\n${reason}`),
    ofNone: [
      "➤ YN0027: p@unknown can't be resolved to a satisfying range:\n\nRequest Error: unable to verify the first certificate",
    ],
  },
  {
    client: 'yarn',
    version: '4',
    ofAnswers: [
      'YN0001: SyntaxError: Unexpected end of JSON input',
      'YN0001: TypeError: Cannot convert undefined or null to object',
      'YN0035: Package not found\n➤ YN0035:   Response Code: 404 (Not Found)',
      'YN0041: Invalid authentication (as an anonymous user)',
    ].map((reason) => `➤ YN0027: p@unknown can't be resolved to a satisfying range\n➤ ${reason}`),
    ofNone: [
      'YN0001: RequestError: unable to verify the first certificate',
      'YN0001: RequestError: getaddrinfo ENOTFOUND h',
    ].map((reason) => `➤ YN0027: p@unknown can't be resolved to a satisfying range\n➤ ${reason}`),
  },
  {
    client: 'pnpm',
    version: '8 to 10',
    ofAnswers: [
      'ERR_PNPM_BROKEN_METADATA_JSON  Unexpected end of JSON input',
      'ERR_PNPM_NO_VERSIONS  No versions available for p. The package may be unpublished.',
      'ERR_PNPM_META_FETCH_FAIL  GET https://h/p: Invalid URL',
      'ERR_PNPM_META_FETCH_FAIL  GET https://h/p: Redirect location header missing at https://h/p',
      'ERR_PNPM_FETCH_403  GET https://h/p: Forbidden - 403',
    ],
    ofNone: [
      'ERR_PNPM_META_FETCH_FAIL  GET https://h/404/p: request to https://h/404/p failed, reason: unable to verify the first certificate',
    ],
  },
  {
    client: 'gradle',
    version: '4',
    ofAnswers: [
      '> Could not find doctor:doctor:1.',
      '[Fatal Error] doctor-1.pom:1:44: Content is not allowed in prolog.',
      "> Could not GET 'https://h/doctor-1.pom'. Received status code 403 from server: Forbidden",
      "> Could not GET 'https://h/doctor-1.pom'.\n> org.apache.http.client.ClientProtocolException (no error message)",
    ],
    ofNone: [
      "> Could not GET 'https://h/404/doctor-1.pom'.\n> PKIX path building failed: SunCertPathBuilderException: unable to find valid certification path to requested target",
      "> Could not GET 'https://h/404/doctor-1.pom'.\n> h: Name or service not known",
    ],
  },
  {
    client: 'pnpm',
    version: '12',
    ofAnswers: [
      '├─▶ Failed to resolve dependency tree: Failed to decode metadata from\n│   https://h/p: EOF',
      'Error: ERR_PNPM_FETCH_500\n  × installing dependencies',
    ],
    ofNone: [
      'Failed to fetch metadata from https://h/404/p: error sending request: client error (Connect): invalid peer certificate: UnknownIssuer',
    ],
  },
]

for (const { client, version, ofAnswers, ofNone } of WORDS) {
  describe(`what ${client} ${version} says`, () => {
    const answered = CLIENTS.find(({ name }) => name === client)?.answered ?? /^$/
    for (const text of ofAnswers) it(`of an answer: ${text.split('\n').at(-1)}`, () => assert.match(text, answered))
    for (const text of ofNone) it(`of none: ${text.split('\n').at(-1)}`, () => assert.doesNotMatch(text, answered))
  })
}

describe('each client of the doctor', () => {
  for (const { name, trial, answered, proxyVariable, trustVariable } of CLIENTS) {
    it(`${name} needs variables that children get`, () => {
      const names = CHILD_VARIABLES.map((variable) => variable.name)
      assert.ok(names.includes(proxyVariable) && names.includes(trustVariable))
    })

    it(`${name} is asked for the target, and told neither of a proxy nor of a CA`, () => {
      const { args, env = {}, files = {} } = trial(TARGET)
      const told = [...args, ...Object.entries(env).flat(), ...Object.entries(files).flat()].join('\n')
      assert.match(told, /h\.example\.test/)
      assert.doesNotMatch(told, /https?_proxy|insecure|no-check|NODE_TLS|verify/i)
      for (const { name: variable } of CHILD_VARIABLES) assert.ok(!Object.hasOwn(env, variable), variable)
    })

    it(`${name} does not count as answered for what it repeats of the question`, () => {
      const { args } = trial(TARGET)
      assert.equal(answered?.test(args.join('\n')) ?? false, false)
    })
  }
})
