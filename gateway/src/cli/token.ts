// `token`: session tokens and their hashes. A token is printed once, on stdout alone, and stored nowhere.

import { randomBytes } from 'node:crypto'
import { hashToken } from '../sessions/sessions.js'
import { type Command, EXIT_FAILURE, EXIT_OK, parseCommandLine, type Streams, UsageError } from './command.js'
import { TOKEN_HELP } from './help.js'

/** 256 bits: it is never guessed, and so needs no slow hash. */
const TOKEN_BYTES = 32
/** The longest token that `ccr-upstream-proxy` reads is far shorter; a wrong pipe is not read whole. */
const MAX_STDIN_BYTES = 65_536

const OPTIONS = { session: { type: 'string' }, help: { type: 'boolean', short: 'h' } } as const

export const token: Command = async ([verb, ...args], streams) => {
  if (verb === '--help' || verb === '-h') return printHelp(streams)
  if (verb !== 'new' && verb !== 'hash') throw new UsageError('token', 'say token new or token hash')
  const { session = 'session', help } = parseCommandLine('token', args, OPTIONS)
  if (help === true) return printHelp(streams)
  return verb === 'new' ? printNewToken(session, streams) : printHash(streams)
}

function printHelp(streams: Streams): number {
  streams.out(TOKEN_HELP)
  return EXIT_OK
}

function printNewToken(session: string, streams: Streams): number {
  if (!/^[!-9;-~]{1,128}$/.test(session)) {
    throw new UsageError('token', '--session must be 1 to 128 visible ASCII characters without a colon')
  }
  const value = `ccr_${randomBytes(TOKEN_BYTES).toString('base64url')}`
  streams.err(
    'The token is for the container, as /run/ccr/session_token (mode 0600).\n' +
      'The gateway needs only its hash, in the config:\n\n' +
      `sessions:\n  - id: ${JSON.stringify(session)}\n    tokenSha256: "${hashToken(value)}"\n\n`,
  )
  streams.out(`${value}\n`)
  return EXIT_OK
}

async function printHash(streams: Streams): Promise<number> {
  if (streams.stdin.isTTY) streams.err('Type or paste the token, then Enter and Ctrl-D.\n')
  const value = await readToken(streams.stdin)
  if (value === undefined) {
    streams.err('ccr-upstream-gateway: stdin is not one token of visible ASCII characters\n')
    return EXIT_FAILURE
  }
  streams.out(`${hashToken(value)}\n`)
  return EXIT_OK
}

async function readToken(stdin: NodeJS.ReadStream): Promise<string | undefined> {
  let text = ''
  stdin.setEncoding('latin1')
  for await (const part of stdin) {
    text += part
    if (text.length > MAX_STDIN_BYTES) return undefined
  }
  const value = text.replace(/\r?\n$/, '')
  return /^[!-~]+$/.test(value) ? value : undefined
}
