// A stand-in for `docker` where there is no container engine: it does the steps of a Dockerfile, and a container's command, in
// an overlay over this machine's own root (https://docs.kernel.org/filesystems/overlayfs.html), so that all but the base
// is what the file says. It fails at what it does not know. Needs root. The image lies in the folder CCR_TEST_IMAGE.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { DockerfileParser, type Env, type Instruction, type JSONInstruction } from 'dockerfile-ast'

interface Image {
  readonly tag: string
  readonly env: Record<string, string>
  workingDirectory: string
  user: string
  entrypoint: readonly string[]
  command: readonly string[]
}

interface Mount {
  readonly source: string
  readonly target: string
}

const IMAGE_DIRECTORY = process.env.CCR_TEST_IMAGE ?? assert.fail('CCR_TEST_IMAGE is not set')
const UPPER = join(IMAGE_DIRECTORY, 'upper')
const IMAGE_FILE = join(IMAGE_DIRECTORY, 'image.json')

const [command, ...args] = process.argv.slice(2)
if (command === 'build') build(args)
else if (command === 'run') process.exitCode = runContainer(args)
else assert.fail(`docker ${command} is not known`)

// -- docker build --------------------------------------------------------------------------------------------------------

function build(words: readonly string[]): void {
  const [option, tag = '', context = '', ...others] = words
  assert.deepEqual([option, others], ['--tag', []])
  for (const name of ['upper', 'work', 'root']) mkdirSync(join(IMAGE_DIRECTORY, name))
  const image: Image = { tag, env: {}, workingDirectory: '/', user: '0:0', entrypoint: [], command: [] }
  const file = DockerfileParser.parse(readFileSync(join(context, 'Dockerfile'), 'utf8'))
  for (const instruction of file.getInstructions()) follow(instruction, image, context)
  writeFileSync(IMAGE_FILE, JSON.stringify(image))
}

function follow(instruction: Instruction, image: Image, context: string): void {
  const words = instruction.getArguments().map((argument) => argument.getValue())
  switch (instruction.getKeyword()) {
    case 'FROM':
      return // This machine's root is the base.
    case 'COPY':
      copy(words, image, context)
      return
    case 'RUN':
      runStep(instruction, image)
      return
    case 'ENV':
      for (const property of (instruction as Env).getProperties())
        image.env[property.getName()] = property.getValue() ?? ''
      return
    case 'WORKDIR':
      image.workingDirectory = resolve(image.workingDirectory, words.join(' '))
      mkdirSync(join(UPPER, image.workingDirectory), { recursive: true })
      return
    case 'USER':
      image.user = words.join(' ')
      return
    case 'ENTRYPOINT':
      image.entrypoint = jsonWords(instruction)
      return
    case 'CMD':
      image.command = jsonWords(instruction)
      return
    default:
      assert.fail(`${instruction.getKeyword()} is not known`)
  }
}

/** Files into a folder, whose name ends with a slash. */
function copy(words: readonly string[], image: Image, context: string): void {
  const target = words.at(-1) ?? ''
  assert.ok(target.endsWith('/') && !words.some((word) => word.startsWith('--')), `COPY ${words.join(' ')}`)
  const folder = join(UPPER, resolve(image.workingDirectory, target))
  mkdirSync(folder, { recursive: true })
  for (const name of words.slice(0, -1)) cpSync(join(context, name), join(folder, name))
}

/** The shell form: https://docs.docker.com/reference/dockerfile/#shell-and-exec-form */
function runStep(instruction: Instruction, image: Image): void {
  const script = instruction.getArgumentsContent() ?? ''
  assert.ok(!/^\s*(?:\[|--)/.test(script), `RUN ${script}`)
  // npm asks the test's registry; what this machine's root has configured is no part of an image.
  const npm = Object.entries(process.env).filter(([name]) => name.startsWith('npm_config_'))
  const env = { ...image.env, ...Object.fromEntries(npm), npm_config_userconfig: '/dev/null', HOME: '/root' }
  const status = inOverlay(['/bin/sh', '-c', script], { env, cwd: image.workingDirectory })
  assert.equal(status, 0, `RUN ${script}`)
}

function jsonWords(instruction: Instruction): string[] {
  const words = (instruction as JSONInstruction).getJSONStrings().map((word) => word.getJSONValue())
  assert.ok(words.length > 0, `${instruction.getKeyword()} is not in its JSON form`)
  return words
}

// -- docker run ----------------------------------------------------------------------------------------------------------

function runContainer(words: readonly string[]): number {
  const image = JSON.parse(readFileSync(IMAGE_FILE, 'utf8')) as Image
  // What stands behind the image's name is the container's command.
  const at = words.indexOf(image.tag)
  const { values } = parseArgs({
    args: words.slice(0, at),
    options: {
      rm: { type: 'boolean' },
      init: { type: 'boolean' },
      'cap-drop': { type: 'string' },
      'security-opt': { type: 'string' },
      mount: { type: 'string', multiple: true },
      env: { type: 'string', multiple: true },
    },
  })
  assert.deepEqual([values['cap-drop'], values['security-opt']], ['ALL', 'no-new-privileges'])
  const given = words.slice(at + 1)
  const [uid = '', gid = ''] = image.user.split(':')
  const privileges = ['--reuid', uid, '--regid', gid, '--clear-groups', '--inh-caps=-all', '--bounding-set=-all']
  const program = [...image.entrypoint, ...(given.length > 0 ? given : image.command)]
  const env = { ...image.env, ...Object.fromEntries((values.env ?? []).map(splitVariable)), HOME: '/tmp' }
  return inOverlay(['setpriv', ...privileges, '--no-new-privs', ...program], {
    env,
    cwd: image.workingDirectory,
    mounts: (values.mount ?? []).map(parseMount),
  })
}

function splitVariable(text: string): [string, string] {
  const at = text.indexOf('=')
  return [text.slice(0, at), text.slice(at + 1)]
}

function parseMount(text: string): Mount {
  const { type, source, target } = Object.fromEntries(text.split(',').map(splitVariable))
  assert.ok(type === 'bind' && source !== undefined && target !== undefined, text)
  return { source, target }
}

// -- The overlay ---------------------------------------------------------------------------------------------------------

interface OverlayOptions {
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  readonly mounts?: readonly Mount[]
}

/** Runs a command with the image as its root, in mount and PID namespaces of its own; a shell is the first process, as an init. */
function inOverlay(program: readonly string[], { env, cwd, mounts = [] }: OverlayOptions): number {
  const root = join(IMAGE_DIRECTORY, 'root')
  const layers = `lowerdir=/,upperdir=${UPPER},workdir=${join(IMAGE_DIRECTORY, 'work')}`
  const script = [
    'set -e',
    `mount -t overlay overlay -o '${layers}' '${root}'`,
    `mount -t proc proc '${root}/proc'`,
    `mount --bind /dev '${root}/dev'`,
    ...mounts.flatMap(({ source, target }) => [
      `mkdir -p '${root}${target}'`,
      `mount --bind '${source}' '${root}${target}'`,
    ]),
    `chroot '${root}' /bin/sh -c 'cd "$0" && exec "$@"' '${cwd}' "$@"`,
  ].join('\n')
  const namespaces = ['--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child']
  const { status } = spawnSync('unshare', [...namespaces, 'sh', '-c', script, 'sh', ...program], {
    env: { PATH: process.env.PATH, ...env },
    stdio: 'inherit',
  })
  return status ?? 1
}
