// The environment for children: the values of the variables in variables.ts, as changes to an environment that is there
// already.
//
// Rules:
// - The proxy's address is 127.0.0.1, never localhost: another user could hold the same port on [::1].
// - A variable of the table that is set already is overwritten, or it would shadow the bundle; the certificates that it
//   named when the proxy started stay trusted. Options of other people are extended. Applied to its own result, nothing changes.

import type { Environment } from '../environment.js'
import type { ChildFiles } from './child-files.js'
import { extendJavaToolOptions, javaToolOptions } from './files/java-options.js'
import { nodeOptions } from './files/node-options.js'
import { extendPhpScanDirectories } from './files/php-ini.js'
import { extendRubyLib } from './files/ruby-lib.js'
import { extendGitConfig, gitSettings } from './git-config.js'
import { createNoProxyList } from './no-proxy-list.js'
import { CHILD_VARIABLES, type ChildVariable, type VariableLevel, type VariableTarget } from './variables.js'

/** How much of the table children get: `contract`, `default` with what else needs no file, or `files`, all of it. */
export const CHILD_ENV_LEVELS = ['contract', 'default', 'files'] as const
export type ChildEnvLevel = (typeof CHILD_ENV_LEVELS)[number]

/** What somebody may choose about the environment of children. */
export interface ChildEnvChoice {
  readonly level: ChildEnvLevel
  /** Names of variables that are left as they are. */
  readonly except: readonly string[]
  /** Hosts whose repositories git fetches over HTTPS also where an address says SSH, which no proxy of this kind carries. */
  readonly gitHttpsHosts: readonly string[]
}

/** Everything that the variables can point at. It can be written down as JSON. */
export interface ChildTargets {
  /** `http://127.0.0.1:<port>` */
  readonly proxyUrl: string
  /** The list of the relay, between commas. */
  readonly noProxy: string
  readonly fullBundleFile: string
  readonly extraCertificatesFile: string
  /** undefined: nothing of the level `files`. */
  readonly files?: ChildFiles
  readonly choice: ChildEnvChoice
}

const LEVELS_WITHIN: Readonly<Record<ChildEnvLevel, readonly VariableLevel[]>> = {
  contract: ['contract'],
  default: ['contract', 'default', 'inherited'],
  files: ['contract', 'default', 'inherited', 'files'],
}

/** The variables that children get on top of `environment`. */
export function createChildEnvironment(targets: ChildTargets, environment: Environment): Record<string, string> {
  const { level, except, gitHttpsHosts } = targets.choice
  const values = plainValues(targets, environment)
  const isWanted = ({ name, level: own }: ChildVariable): boolean =>
    LEVELS_WITHIN[level].includes(own) && !except.includes(name) && (own !== 'inherited' || Boolean(environment[name]))
  const changes: Record<string, string> = {}
  for (const variable of CHILD_VARIABLES.filter(isWanted)) {
    const { name, target } = variable
    if (target === 'git-config') Object.assign(changes, extendGitConfig(environment, gitSettings(gitHttpsHosts)))
    else {
      const value = target === 'file' ? fileValue(name, targets, values['no-proxy'], environment) : values[target]
      if (value !== undefined) changes[name] = value
    }
  }
  return changes
}

function plainValues(
  targets: ChildTargets,
  environment: Environment,
): Readonly<Record<Exclude<VariableTarget, 'file' | 'git-config'>, string>> {
  return {
    proxy: targets.proxyUrl,
    'no-proxy': createNoProxyList(targets.noProxy.split(','), environment).list,
    'full-bundle': targets.fullBundleFile,
    'extra-certificates': targets.extraCertificatesFile,
    switch: '1',
  }
}

/** The value of one variable of the level `files`; undefined where there is no such file. */
function fileValue(
  name: string,
  { proxyUrl, files }: ChildTargets,
  noProxy: string,
  environment: Environment,
): string | undefined {
  if (files === undefined) return undefined
  const inherited = environment[name]
  switch (name) {
    case 'WGETRC':
      return files.wgetrc
    case 'APT_CONFIG':
      return files.aptConf
    case 'PHP_INI_SCAN_DIR':
      return extendPhpScanDirectories(inherited, files.phpIniDirectory)
    case 'NODE_OPTIONS':
      return nodeOptions(inherited, files.nodePreload)
    case 'RUBYLIB':
      return extendRubyLib(inherited, files.rubyLibrary)
    case 'JAVA_TOOL_OPTIONS': {
      const { hostname: proxyHost, port } = new URL(proxyUrl)
      const { javaTrustStore: trustStoreFile } = files
      const ours = javaToolOptions({ proxyHost, proxyPort: Number(port), noProxy, trustStoreFile })
      return extendJavaToolOptions(inherited, ours)
    }
    default:
      return undefined
  }
}

/** The certificate files that the container's variables name, each once: for the full bundle, and for the extras alone. */
export function inheritedCertificateFiles(environment: Environment): {
  readonly full: string[]
  readonly extra: string[]
} {
  const files = (targets: readonly VariableTarget[]): string[] => {
    const named = CHILD_VARIABLES.filter(({ target }) => targets.includes(target)).map(({ name }) => environment[name])
    return [...new Set(named.filter((file) => file !== undefined && file !== ''))] as string[]
  }
  return { full: files(['full-bundle', 'extra-certificates']), extra: files(['extra-certificates']) }
}
