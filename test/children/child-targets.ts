// What a relay has for its children, for tests of their environment.

import type { ChildTargets } from '#src/system/children/child-env.js'

export const TARGETS: ChildTargets = {
  proxyUrl: 'http://127.0.0.1:4000',
  noProxy: 'localhost,127.0.0.1,10.0.0.0/8',
  fullBundleFile: '/run/relay/ca-bundle.pem',
  extraCertificatesFile: '/run/relay/extra-certificates.pem',
  files: {
    wgetrc: '/run/relay/wgetrc',
    phpIniDirectory: '/run/relay/php',
    aptConf: '/run/relay/apt.conf',
    javaTrustStore: '/run/relay/java-trust-store.jks',
    nodePreload: '/opt/package/node-proxy.cjs',
    rubyLibrary: '/opt/package/ruby',
  },
  choice: { level: 'files', except: [], gitHttpsHosts: [] },
}

export function withChoice(choice: Partial<ChildTargets['choice']>): ChildTargets {
  return { ...TARGETS, choice: { ...TARGETS.choice, ...choice } }
}
