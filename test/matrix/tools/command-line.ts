// Command lines that fetch one thing: curl and its like.

import type { Tool } from '../tool.js'

export const COMMAND_LINE_TOOLS: readonly Tool[] = [
  {
    id: 'curl',
    name: 'curl',
    does: 'GET',
    version: 'curl --version',
    from: { debian: 'curl' },
    work: ({ url }) => ({ script: `curl -sS --fail ${url}/hello` }),
  },
  {
    id: 'wget',
    name: 'wget',
    does: 'GET',
    version: 'wget --version',
    from: { debian: 'wget' },
    work: ({ url }) => ({ script: `wget -nv --tries=1 -O - ${url}/hello` }),
  },
  {
    id: 'busybox-wget',
    name: 'BusyBox wget',
    does: 'GET',
    version: 'busybox --help | head -1',
    from: { debian: 'busybox' },
    work: ({ url }) => ({ script: `busybox wget -q -O - ${url}/hello` }),
    impossible: {
      reason: 'it sends no CONNECT: it asks a proxy for https:// in the clear, or goes direct',
      needs: 'GNU wget or curl in the image',
    },
  },
  {
    id: 'httpie',
    name: 'HTTPie',
    does: 'GET',
    version: 'http --version',
    from: { debian: 'httpie' },
    work: ({ url }) => ({ script: `http --ignore-stdin --check-status --body ${url}/hello` }),
  },
  {
    id: 'openssl',
    name: 'openssl s_client',
    does: 'GET, told of the proxy with -proxy',
    version: 'openssl version',
    from: { debian: 'openssl' },
    // It reads no variable for the proxy; what it is told here comes from the environment.
    work: ({ kind, host, port }) => ({
      script: [
        // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the shell's
        'proxy="${HTTPS_PROXY:+-proxy ${HTTPS_PROXY#http://}}"',
        `printf 'GET /hello HTTP/1.0\\r\\nHost: ${host}\\r\\n\\r\\n' | openssl s_client -quiet -verify_return_error \\`,
        `  ${kind === 'bypassed' ? `-verify_ip ${host}` : `-verify_hostname ${host} -servername ${host}`} $proxy -connect ${host}:${port}`,
      ].join('\n'),
    }),
  },
  {
    id: 'cmake',
    name: 'CMake',
    does: 'file(DOWNLOAD)',
    version: 'cmake --version',
    from: { debian: 'cmake' },
    work: ({ url }) => ({
      files: {
        'fetch.cmake': `file(DOWNLOAD ${url}/hello hello TLS_VERIFY ON STATUS status)\nmessage("\${status}")\n`,
      },
      script: 'cmake -P fetch.cmake && cat hello',
    }),
  },
  {
    id: 'r',
    name: 'R',
    does: 'download.file()',
    version: 'R --version',
    from: { debian: 'r-base-core' },
    work: ({ url }) => ({
      script: `Rscript --vanilla -e 'download.file("${url}/hello", "hello", quiet = TRUE)' && cat hello`,
    }),
  },
]
