// Writes the documents that are drawn from the code: doc/errors.md and doc/clients.md. `--check` only compares, and
// fails when one is stale. Run after a build: it reads dist/.

import { readFileSync, writeFileSync } from 'node:fs'
import { ERROR_CODES } from '../dist/errors.js'
import { CHILD_VARIABLES } from '../dist/system/children/child-env.js'

const DOCUMENTS = { 'errors.md': errorsDocument, 'clients.md': clientsDocument }

const TARGETS = {
  proxy: "the relay's address, `http://127.0.0.1:<port>`",
  'no-proxy': 'the hosts that go past the relay',
  'full-bundle': 'the full bundle: system, container, gateway CA',
  'extra-certificates': 'the gateway CA and what the variable named before',
  switch: '`1`',
}

function errorsDocument() {
  const rows = Object.entries(ERROR_CODES).map(([code, { status, proxyError, retryable, hint }]) =>
    row([
      `\`${code}\``,
      status ?? '–',
      proxyError === undefined ? '–' : `\`${proxyError}\``,
      retryable ? 'yes' : 'no',
      hint,
    ]),
  )
  return `# Errors

Generated from \`src/errors.ts\` by \`npm run doc\`; do not edit.

Every failure has one of these codes: in the log, in the result of \`initUpstreamProxy()\`, in \`doctor --json\`, and in what
a client gets. Where a code has a status, a client that asked for a tunnel gets it as a whole HTTP answer with
\`Content-Length\`, \`Connection: close\`, \`Proxy-Status: ccr-upstream-proxy; error=…; details="<code>"\` (RFC 9209) and the
JSON body \`{"hop":"relay","code","message","hint","retryable"}\`. Answers of the gateway pass unchanged and do not have
this \`Proxy-Status\`: that is how to tell which hop said no.

${row(['code', 'status', 'Proxy-Status error', 'retryable', 'what to do'])}
${row(['---', '---', '---', '---', '---'])}
${rows.join('\n')}
`
}

function clientsDocument() {
  const rows = CHILD_VARIABLES.map(({ name, target, when, tools }) =>
    row([`\`${name}\``, TARGETS[target], when === 'always' ? 'always' : 'only when the container has set it', tools]),
  )
  return `# The environment of clients

Generated from \`src/system/children/child-env.ts\` by \`npm run doc\`; do not edit.

These variables are in \`proxy.env\`, and children of \`ccr-upstream-proxy run\` have them. \`HTTP_PROXY\` and \`ALL_PROXY\` are
never among them, because the relay only carries CONNECT and answers plain HTTP with 405. A variable that the container
has set already is overwritten, because it would shadow the bundle; the certificates that it named stay trusted.

${row(['variable', 'points at', 'set', 'needed by'])}
${row(['---', '---', '---', '---'])}
${rows.join('\n')}
`
}

function row(cells) {
  return `| ${cells.map((cell) => String(cell).replaceAll('|', '\\|')).join(' | ')} |`
}

const isCheck = process.argv.includes('--check')
for (const [name, draw] of Object.entries(DOCUMENTS)) {
  const file = new URL(name, import.meta.url)
  if (!isCheck) writeFileSync(file, draw())
  else if (readOrEmpty(file) !== draw()) {
    process.stderr.write(`doc/${name} is stale: run npm run doc\n`)
    process.exitCode = 1
  }
}

function readOrEmpty(file) {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
