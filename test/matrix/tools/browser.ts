// Chromium, headless, after `install-ca`.

import { CLI_FILE } from '../../support/cli-process.js'
import type { Tool } from '../tool.js'

/**
 * Makes Chromium trust what NODE_EXTRA_CA_CERTS names, as `install-ca` does it: it reads no variable for certificates. The
 * folders that this writes to are covered for the script alone; the machine's own stay as they are.
 */
function withInstalledCa(script: string): string {
  return `unshare --mount --propagation private sh -euc '
mount -t tmpfs tmpfs /etc/chromium
mount -t tmpfs tmpfs /var/lib
if [ -n "\${NODE_EXTRA_CA_CERTS:-}" ]; then
  "${process.execPath}" "${CLI_FILE}" install-ca --only chromium --ca-file "$NODE_EXTRA_CA_CERTS" >&2
fi
${script}'`
}

export const BROWSER_TOOLS: readonly Tool[] = [
  {
    id: 'chromium',
    name: 'Chromium, headless',
    does: 'shows a page, after `install-ca`',
    version: `unshare --mount --propagation private sh -c 'mount -t tmpfs tmpfs /etc/chromium' && chromium --version`,
    from: { debian: 'chromium, and root for install-ca' },
    hasOwnRoots: true,
    work: ({ url }) => ({
      script: withInstalledCa(
        `chromium --headless --no-sandbox --disable-gpu --user-data-dir="$PWD/profile" --dump-dom ${url}/hello`,
      ),
    }),
  },
]
