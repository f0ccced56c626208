// git and what is built around it.

import type { Tool } from '../tool.js'

export const GIT_TOOLS: readonly Tool[] = [
  {
    id: 'git',
    name: 'git',
    does: 'ls-remote, clone, push',
    version: 'git --version && test -x "$(git --exec-path)/git-http-backend"',
    from: { debian: 'git' },
    work: ({ url, kind }) => ({
      script: `git ls-remote ${url}/git/project.git HEAD
git clone -q ${url}/git/project.git clone
cd clone
echo more >${kind}
git add ${kind}
git -c user.name=t -c user.email=t@t commit -q -m more
git push -q
test "$(git ls-remote origin HEAD | cut -f 1)" = "$(git rev-parse HEAD)"
cat word`,
    }),
  },
  {
    id: 'git-lfs',
    name: 'Git LFS',
    does: 'clone and pull',
    version: 'git lfs version',
    from: { debian: 'git-lfs' },
    work: ({ url }) => ({
      script: `git clone -q ${url}/git/lfs.git clone
cd clone
git lfs install --local >/dev/null
git lfs pull
cat large`,
    }),
  },
  {
    id: 'gh',
    name: 'gh',
    does: 'gh api user',
    version: 'gh --version',
    from: { debian: 'gh' },
    work: ({ url }) => ({
      // The token is what gh asks for before it sends anything; the gateway puts the real one in its place.
      script: `export GH_HOST=${url.slice('https://'.length)} GH_ENTERPRISE_TOKEN=none GH_NO_UPDATE_NOTIFIER=1
gh api user`,
    }),
  },
]
