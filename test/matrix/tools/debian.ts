// apt, with folders of its own: the machine's lists and packages are left alone.

import type { Tool } from '../tool.js'

export const DEBIAN_TOOLS: readonly Tool[] = [
  {
    id: 'apt',
    name: 'apt',
    does: 'update, and downloads a package',
    version: 'apt-get --version',
    from: { debian: 'apt' },
    work: ({ url }) => ({
      files: { 'sources.list': `deb [trusted=yes] ${url}/debian ./\n` },
      script: `mkdir -p state/lists/partial cache/archives/partial
touch state/status
apt() {
  apt-get -q -o Dir::State="$PWD/state" -o Dir::State::status="$PWD/state/status" -o Dir::Cache="$PWD/cache" \\
    -o Dir::Etc::sourcelist="$PWD/sources.list" -o Dir::Etc::sourceparts=- -o APT::Sandbox::User="$(id -un)" \\
    -o Acquire::Retries=0 -o APT::Update::Error-Mode=any "$@"
}
apt update
apt download matrix-package
dpkg-deb -x matrix-package_*.deb unpacked
cat unpacked/usr/share/matrix-package/word`,
    }),
  },
]
