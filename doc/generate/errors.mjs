// doc/errors.md: every code of the relay, from src/errors.ts.

import { ERROR_CODES } from '../../dist/errors.js'
import { row } from './table.mjs'

export function errorsDocument() {
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

Every failure of the relay has one of these codes: in the log, in the result of \`initUpstreamProxy()\`, in \`doctor --json\`,
and in what a client gets. What the gateway refuses has a code of the gateway, such as \`port-denied\` or \`dns-failed\`:
[gateway.md](gateway.md#refusals) lists them, and \`doctor\` shows them too.

Where a code has a status, a client that asked for a tunnel gets it as a whole HTTP answer with
\`Content-Length\`, \`Connection: close\`, \`Proxy-Status: ccr-upstream-proxy; error=…; details="<code>"\` (RFC 9209) and the
JSON body \`{"hop":"relay","code","message","hint","retryable"}\`. Answers of the gateway pass unchanged and do not have
this \`Proxy-Status\`: that is how to tell which hop said no.

Which codes that begin with \`token-\` to expect of a mount, and what then becomes of the token's file, is in
[deploy.md](deploy.md#how-the-token-is-mounted).

${row(['code', 'status', 'Proxy-Status error', 'retryable', 'what to do'])}
${row(['---', '---', '---', '---', '---'])}
${rows.join('\n')}
`
}
