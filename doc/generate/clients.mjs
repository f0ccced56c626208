// doc/clients.md: the environment of clients, from src/system/children/variables.ts, and the last matrix of real ones.

import { readFileSync } from 'node:fs'
import { CHILD_VARIABLES } from '../../dist/system/children/variables.js'
import { row } from './table.mjs'

/** The last results of the matrix: `npm run matrix -- --json doc/client-matrix.json` */
const MATRIX_FILE = new URL('../client-matrix.json', import.meta.url)

const TARGETS = {
  proxy: "the relay's address, `http://127.0.0.1:<port>`",
  'no-proxy': 'the hosts that go past the relay',
  'full-bundle': 'the full bundle: system, container, gateway CA',
  'extra-certificates': 'the gateway CA and what the variable named before',
  switch: '`1`',
  'git-config': '`http.version=HTTP/1.1`, behind the settings that are there',
  file: 'settings or code for the tool, added to what the variable had',
}

const LEVELS = {
  contract: '`contract`: always',
  default: '`default`',
  files: '`files`',
  inherited: '`default`, where the container has set it',
}

export function clientsDocument() {
  const rows = CHILD_VARIABLES.map(({ name, target, level, tools, proof }) =>
    row([`\`${name}\``, TARGETS[target], LEVELS[level], tools, proof.join(', ')]),
  )
  return `# The environment of clients

Generated from \`src/system/children/variables.ts\` by \`npm run doc\`; do not edit.

These variables are in \`proxy.env\`, and children of \`ccr-upstream-proxy run\` have them. \`HTTP_PROXY\` and \`ALL_PROXY\` are
never among them, because the relay only carries CONNECT and answers plain HTTP with 405. A variable that the container
has set already is overwritten, because it would shadow the bundle; the certificates that it named stay trusted.

The levels build on one another: \`CCR_UPSTREAM_PROXY_ENV\` (the option \`childEnvironment.level\`) is \`contract\`,
\`default\` or \`files\`, which is what children get unless it is set. \`CCR_UPSTREAM_PROXY_ENV_EXCEPT\` names variables to
leave as they are. Variables that hold options (\`NODE_OPTIONS\`, \`JAVA_TOOL_OPTIONS\`, \`RUBYLIB\`, \`PHP_INI_SCAN_DIR\`,
\`GIT_CONFIG_COUNT\`) and \`NO_PROXY\` are extended, never replaced. Files that settings name go with the relay; code that a
program cannot start without lies in the package.

${row(['variable', 'points at', 'level', 'needed by', 'shown by'])}
${row(['---', '---', '---', '---', '---'])}
${rows.join('\n')}

Repositories that are named by an SSH address cannot be reached through an HTTP proxy. \`CCR_UPSTREAM_PROXY_GIT_HTTPS\`
(\`childEnvironment.gitHttpsHosts\`) lists hosts for which git takes HTTPS instead, by \`GIT_CONFIG_COUNT\`.

## NO_PROXY

Children get this machine, the private and link-local networks, the Anthropic API, what
\`CCR_UPSTREAM_PROXY_NO_PROXY\` (\`noProxy\`) adds, and what the container had. For a gateway that injects the key of the model's
own API, or leads into a private network, \`CCR_UPSTREAM_PROXY_NO_PROXY_DEFAULTS=loopback\` (\`noProxyDefaults\`) leaves all but this
machine out; a list between commas takes their place. Entries that break clients are left out with a
warning: \`*\`, brackets, IPv6 networks (httpx cannot be constructed with either), and what is no host, address or network.
Many tools do not understand networks and send such targets to the relay: it takes them past the gateway, directly or through
the container's own proxy, as they would have gone without it.

${matrixSection(JSON.parse(readFileSync(MATRIX_FILE, 'utf8')))}`
}

const CELLS = { works: 'yes', fails: '**no**', impossible: 'no' }

function matrixSection({ system, clients }) {
  const rows = clients.map(({ name, does, version, cells, hasOwnRoots, note }) =>
    row([
      hasOwnRoots ? `${name} ¹` : name,
      version,
      does,
      ...[cells.intercepted, cells.passedThrough, cells.bypassed].map((cell) => CELLS[cell]),
      note,
    ]),
  )
  return `## What clients do with it

Real clients, each with nothing but this environment, against three hosts: one that the gateway intercepts, one that it
passes through whose root is in the system bundle only, and one in \`NO_PROXY\`, named there as a network. A cell says yes
when the client got what it wanted, the host saw it come, and the gateway's audit says that it came by the right way. Each
cell was also run without the environment: the client must not get there, or must go to the third host by itself. A bold
**no** is a client that should get through and did not.

System: ${system}. Drawn from \`doc/client-matrix.json\`, which \`npm run matrix -- --json doc/client-matrix.json\` writes.

${row(['client', 'version', 'does', 'intercepted', 'passed through', 'bypassed', 'why not, and what it needs'])}
${row(Array(7).fill('---'))}
${rows.join('\n')}

¹ It has public roots of its own and does not look at the system's. A root that only the system has must be named to it: by
the container in \`NODE_EXTRA_CA_CERTS\`, to which the relay adds its own, or in the browser's policy.
`
}
