// Chromium, headless.

import type { Tool } from '../tool.js'

const POLICY_FOLDER = '/etc/chromium/policies/managed'

/**
 * Makes Chromium trust what NODE_EXTRA_CA_CERTS names while `script` runs: it reads no variable for certificates, only its
 * own policies and stores.
 */
function withPolicy(script: string): string {
  const policy = `${POLICY_FOLDER}/ccr-matrix.json`
  const certificates = `/BEGIN/ { body = ""; next } /END/ { printf "%s\\"%s\\"", comma, body; comma = ","; next } { body = body $0 }`
  return `mkdir -p ${POLICY_FOLDER}
trap 'rm -f ${policy}' EXIT
if [ -n "\${NODE_EXTRA_CA_CERTS:-}" ]; then
  printf '{"CACertificates":[%s]}' "$(awk '${certificates}' "$NODE_EXTRA_CA_CERTS")" >${policy}
fi
${script}`
}

export const BROWSER_TOOLS: readonly Tool[] = [
  {
    id: 'chromium',
    name: 'Chromium, headless',
    does: 'shows a page',
    version: 'test "$(id -u)" = 0 && chromium --version',
    from: { debian: 'chromium, and root for its policy' },
    hasOwnRoots: true,
    work: ({ url }) => ({
      script: withPolicy(
        `chromium --headless --no-sandbox --disable-gpu --user-data-dir="$PWD/profile" --dump-dom ${url}/hello`,
      ),
    }),
  },
]
