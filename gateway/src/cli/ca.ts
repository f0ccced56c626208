// `ca`: makes the interception CA, and server certificates for the gateway itself. Private keys are written with mode
// 0600 from the start, and nothing that is there is replaced unasked.

import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readForeignFile } from 'ccr-upstream-proxy/foreign-file'
import { parseAuthority } from 'ccr-upstream-proxy/protocol'
import {
  type CertificateAndKey,
  CertificateAuthority,
  createCertificateAuthority,
  issueServerCertificate,
} from '../certificates/certificate-authority.js'
import type { KeyType } from '../certificates/key-pair.js'
import {
  type Command,
  EXIT_FAILURE,
  EXIT_OK,
  type OptionValues,
  parseCommandLine,
  requireOption,
  type Streams,
  UsageError,
} from './command.js'
import { CA_HELP } from './help.js'

const OPTIONS = {
  ca: { type: 'string' },
  name: { type: 'string', multiple: true },
  out: { type: 'string' },
  days: { type: 'string' },
  key: { type: 'string' },
  force: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const

/** A certificate or a key is a page or two. */
const MAX_PEM_BYTES = 65_536

type Values = OptionValues<typeof OPTIONS>

export const ca: Command = async ([verb, ...args], streams) => {
  const wantsHelp = verb === '--help' || verb === '-h'
  if (!wantsHelp && verb !== 'init' && verb !== 'server') throw new UsageError('ca', 'say ca init or ca server')
  const values = parseCommandLine('ca', wantsHelp ? [] : args, OPTIONS)
  if (wantsHelp || values.help === true) {
    streams.out(CA_HELP)
    return EXIT_OK
  }
  return verb === 'init' ? init(values, streams) : server(values, streams)
}

async function init(values: Values, streams: Streams): Promise<number> {
  if (values.ca !== undefined) throw new UsageError('ca', '--ca is for ca server')
  const [commonName, ...more] = values.name ?? []
  if (more.length > 0) throw new UsageError('ca', 'a CA has one --name')
  if (commonName !== undefined && !/^[ -~]{1,64}$/.test(commonName)) {
    throw new UsageError('ca', '--name must be 1 to 64 ASCII characters')
  }
  const out = requireOption('ca', 'out', values.out)
  const days = parseDays(values.days, 365)
  const keyType = parseKeyType(values.key)
  const authority = await createCertificateAuthority({ days, keyType, ...(commonName !== undefined && { commonName }) })
  const made = { certificatePem: authority.certificatePem, privateKeyPem: authority.privateKeyPem() }
  return store(made, out, 'ca', values.force === true, streams)
}

async function server(values: Values, streams: Streams): Promise<number> {
  if (values.key !== undefined) throw new UsageError('ca', '--key is for ca init')
  const folder = requireOption('ca', 'ca', values.ca)
  const out = requireOption('ca', 'out', values.out)
  const days = parseDays(values.days, 90)
  const names = (values.name ?? []).map(parseName)
  if (names.length === 0) throw new UsageError('ca', '--name is missing')
  const authority = await loadAuthority(folder).catch(({ message }: Error) => {
    streams.err(`ccr-upstream-gateway: the CA in ${folder}: ${message}\n`)
    return undefined
  })
  if (authority === undefined) return EXIT_FAILURE
  return store(
    await issueServerCertificate(authority, names, { hours: days * 24 }),
    out,
    'server',
    values.force === true,
    streams,
  )
}

function parseDays(text: string | undefined, defaultDays: number): number {
  if (text === undefined) return defaultDays
  const days = /^[1-9][0-9]{0,3}$/.test(text) ? Number(text) : 0
  if (days < 1 || days > 3650) throw new UsageError('ca', '--days must be 1 to 3650')
  return days
}

function parseKeyType(text = 'ecdsa'): KeyType {
  if (text === 'ecdsa' || text === 'rsa') return text
  throw new UsageError('ca', '--key must be ecdsa or rsa')
}

/** An address may stand in brackets. */
function parseName(text: string): string {
  const parsed = parseAuthority(`${text}:1`) ?? parseAuthority(`[${text}]:1`)
  if (parsed === undefined) throw new UsageError('ca', '--name must be a host name or an address')
  return parsed.host
}

async function loadAuthority(folder: string): Promise<CertificateAuthority> {
  const [certificatePem = '', privateKeyPem = ''] = ['ca.pem', 'ca.key'].map((name) => readPem(join(folder, name)))
  return CertificateAuthority.load({ certificatePem, privateKeyPem })
}

function readPem(path: string): string {
  const file = readForeignFile(path, { maxBytes: MAX_PEM_BYTES })
  if (file.problem !== undefined) throw new Error(`${path} ${file.why}`)
  return file.bytes.toString('utf8')
}

/** Writes both files, or says which one is in the way. */
async function store(
  made: CertificateAndKey,
  folder: string,
  name: string,
  force: boolean,
  streams: Streams,
): Promise<number> {
  const certificateFile = join(folder, `${name}.pem`)
  const keyFile = join(folder, `${name}.key`)
  try {
    await mkdir(folder, { recursive: true })
    if (force) await Promise.all([rm(certificateFile, { force }), rm(keyFile, { force })])
    // The key first: when it is there already, nothing has been written yet.
    await writeFile(keyFile, made.privateKeyPem, { flag: 'wx', mode: 0o600 })
    await writeFile(certificateFile, made.certificatePem, { flag: 'wx', mode: 0o644 }).catch(async (error) => {
      // A key beside somebody else's certificate would look like a pair.
      await rm(keyFile)
      throw error
    })
  } catch (error) {
    streams.err(`ccr-upstream-gateway: ${storeFailure(error as NodeJS.ErrnoException)}\n`)
    return EXIT_FAILURE
  }
  streams.out(`${certificateFile}\n${keyFile}\n`)
  return EXIT_OK
}

function storeFailure({ code, path }: NodeJS.ErrnoException): string {
  if (code === 'EEXIST') return `${path} is there already; --force replaces it`
  return `${path} cannot be written (${code})`
}
