// Git repositories through the real `git http-backend`, and what Git LFS asks for on top: the batch API and the object.
//   project.git   one commit with the file `word`      lfs.git   one commit with `large`, an LFS pointer

import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { answerWithGitBackend } from '../../support/git-origin.js'
import { createTempDirectory } from '../../support/temp-dir.js'
import type { Registry, RegistryOptions, RegistryRequest } from './registry.js'

/** Makes the repositories. */
export async function createGitRegistry({ scope, word }: RegistryOptions): Promise<Registry> {
  const projectRoot = createTempDirectory(scope, 'git')
  const content = Buffer.from(`${word} in a large file\n`)
  const object = { oid: createHash('sha256').update(content).digest('hex'), size: content.length }
  const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${object.oid}\nsize ${object.size}\n`
  await createRepository(projectRoot, 'project', { word: `${word}\n` })
  await createRepository(projectRoot, 'lfs', {
    large: pointer,
    '.gitattributes': 'large filter=lfs diff=lfs merge=lfs -text\n',
  })
  return async (request) => {
    if (request.path === '/lfs.git/info/lfs/objects/batch') answerBatch(request, object)
    else if (request.path === `/objects/${object.oid}`) request.response.writeHead(200).end(content)
    else await answerWithGitBackend(request.request, request.response, { projectRoot, path: request.path })
  }
}

/** https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md */
function answerBatch({ request, response, base }: RegistryRequest, object: { oid: string; size: number }): void {
  request.resume()
  const actions = { download: { href: `${base}/objects/${object.oid}` } }
  response.writeHead(200, { 'Content-Type': 'application/vnd.git-lfs+json' })
  response.end(JSON.stringify({ transfer: 'basic', objects: [{ ...object, actions }] }))
}

async function createRepository(projectRoot: string, name: string, files: Record<string, string>): Promise<void> {
  const work = join(projectRoot, `${name}.work`)
  mkdirSync(work)
  for (const [file, text] of Object.entries(files)) writeFileSync(join(work, file), text)
  const env = { PATH: process.env.PATH, HOME: projectRoot, GIT_CONFIG_NOSYSTEM: '1' }
  const git = (...args: string[]) => promisify(execFile)('git', args, { cwd: work, env })
  await git('init', '-q', '-b', 'main')
  await git('add', '.')
  await git('-c', 'user.name=t', '-c', 'user.email=t@t', 'commit', '-q', '-m', 'begin')
  await git('clone', '-q', '--bare', work, join(projectRoot, `${name}.git`))
}
