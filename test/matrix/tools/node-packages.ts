// Package managers of the Node world: each installs a package with thirty dependencies.

import { BUN, npmTool } from '../npm-tools.js'
import type { Tool } from '../tool.js'

const DOES = 'a package with 30 dependencies'
/** They run on the Node of the matrix, so that the result does not hang on the one in use. */
const NODE = npmTool('node22/bin/node')
const MANIFEST = { 'package.json': '{"name":"app","version":"1.0.0","private":true}' }
const SHOW = 'cat node_modules/matrix-dependency-30/word'

function npm(id: string, name: string, command: string, from: Tool['from']): Tool {
  return {
    id,
    name,
    does: DOES,
    version: `${command} --version`,
    from,
    wantsAddress: 'a registry that is named by its address: it cannot verify an address through a proxy',
    work: ({ url }) => ({
      files: MANIFEST,
      script: `${command} install matrix-parent --registry=${url}/npm/ --no-audit --no-fund --no-update-notifier --fetch-retries=0
${SHOW}`,
    }),
  }
}

function pnpm(id: string, name: string, command: string, version: string): Tool {
  return {
    id,
    name,
    does: DOES,
    version: `${command} --version`,
    from: { npm: `pnpm@${version}` },
    work: ({ url }) => ({
      files: {
        ...MANIFEST,
        '.npmrc': `registry=${url}/npm/\nfetch-retries=0\nupdate-notifier=false\n`,
        // It reads no more than the registry from an .npmrc.
        ...(version === '12' ? { 'pnpm-workspace.yaml': 'fetchRetries: 0\n' } : {}),
      },
      script: `export CI=1
${command} add matrix-parent --store-dir="$PWD/store"
cat node_modules/.pnpm/node_modules/matrix-dependency-30/word`,
    }),
  }
}

export const NODE_PACKAGE_TOOLS: readonly Tool[] = [
  npm('npm', 'npm on PATH', 'npm', { bundled: 'comes with Node' }),
  npm('npm10', 'npm 10', `${NODE} ${npmTool('npm10/bin/npm-cli.js')}`, { npm: 'npm@10' }),
  npm('npm12', 'npm 12', `${NODE} ${npmTool('npm12/bin/npm-cli.js')}`, { npm: 'npm@12' }),
  pnpm('pnpm9', 'pnpm 9', `${NODE} ${npmTool('pnpm9/bin/pnpm.cjs')}`, '9'),
  pnpm('pnpm12', 'pnpm 12', npmTool('@pnpm/exe.linux-x64/pnpm'), '12'),
  {
    id: 'yarn1',
    name: 'yarn 1',
    does: DOES,
    version: `${NODE} ${npmTool('yarn1/bin/yarn.js')} --version`,
    from: { npm: 'yarn@1' },
    work: ({ url }) => ({
      files: { ...MANIFEST, '.yarnrc': `registry "${url}/npm/"\n` },
      script: `${NODE} ${npmTool('yarn1/bin/yarn.js')} add matrix-parent --non-interactive --network-timeout 10000\n${SHOW}`,
    }),
  },
  {
    id: 'yarn4',
    name: 'yarn 4',
    does: DOES,
    version: `${NODE} ${npmTool('@yarnpkg/cli-dist/bin/yarn.js')} --version`,
    from: { npm: '@yarnpkg/cli-dist' },
    hasOwnRoots: true,
    work: ({ url }) => ({
      files: {
        ...MANIFEST,
        'yarn.lock': '',
        '.yarnrc.yml': `npmRegistryServer: "${url}/npm"\nnodeLinker: node-modules\nenableTelemetry: false\nhttpRetry: 0\n`,
      },
      script: `${NODE} ${npmTool('@yarnpkg/cli-dist/bin/yarn.js')} add matrix-parent\n${SHOW}`,
    }),
  },
  {
    id: 'bun-add',
    name: 'bun add',
    does: DOES,
    version: `${BUN} --version`,
    from: { bundled: 'npm ci, with optional dependencies' },
    work: ({ url }) => ({
      files: { ...MANIFEST, 'bunfig.toml': `[install]\nregistry = "${url}/npm/"\n` },
      script: `${BUN} add matrix-parent\n${SHOW}`,
    }),
  },
]
