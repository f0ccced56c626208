// The demo: a real client gets a credential injected that its process never had. Every claim is checked; one that does not
// hold ends the demo with exit code 1. With --shell nothing is shown: a shell opens on the same stage.

import { spawnSync } from 'node:child_process'
import { constants } from 'node:os'
import { type CommandResult, ORIGIN_HOST, Stage } from './stage.js'
import { ClaimError, Transcript } from './transcript.js'

const isColoured = process.stdout.isTTY === true && !process.env.NO_COLOR
const transcript = new Transcript((text) => process.stdout.write(text), isColoured)
const stage = new Stage()
let isInterrupted = false
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => interrupt(signal))

try {
  await stage.open()
  if (process.argv.includes('--shell')) await stage.runShell()
  else await show()
} catch (error) {
  if (!isInterrupted) {
    process.stderr.write(`\nThe demo failed: ${error instanceof ClaimError ? error.message : (error as Error).stack}\n`)
    process.exitCode = 1
  }
} finally {
  await stage.close()
}

function interrupt(signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP'): void {
  isInterrupted = true
  process.exitCode = 128 + constants.signals[signal]
  void stage.close().then(() => process.exit())
}

async function show(): Promise<void> {
  transcript.title('ccr-upstream-proxy: a credential that the client never had')
  const client = chooseClient()
  showSetting()
  await showInjection(client)
  await showTokenFile()
  await showChild()
  await showRelayProcess()
  await showPlainHttp(client)
  await showAudit()
  transcript.claim('nothing is left in the temporary folder', stage.temporaryFiles.length === 0)
}

// -- The steps -------------------------------------------------------------------------------------------------------------

function showSetting(): void {
  transcript.step(`A gateway with a rule for ${ORIGIN_HOST}; the secret lies in a file beside it`)
  transcript.command('cat gateway.yaml')
  transcript.output(stage.gatewayConfig)
  transcript.step('A container with a session token, and what configures the proxy')
  stage.provideToken()
  for (const [name, value] of Object.entries(stage.configuration)) transcript.command(`export ${name}=${value}`)
}

async function showInjection(client: Client): Promise<void> {
  transcript.step('A request: the gateway puts the credential in')
  const { output } = await run(client.httpsCommand)
  transcript.claim(
    `${client.name} got the origin's answer, and the origin got the credential`,
    output.includes('the origin got GET /v1/me') && output.includes(`authorization: Bearer ${stage.secret}`),
  )
}

async function showTokenFile(): Promise<void> {
  transcript.step('The token file went when the relay was listening')
  await run(['ls', 'session_token'])
  transcript.claim('the token file is gone', stage.readContainerFile('session_token') === undefined)
}

async function showChild(): Promise<void> {
  transcript.step('What a command under the proxy can see of itself')
  stage.provideToken()
  const script = isLinux()
    ? 'tr "\\0" " " < /proc/$$/cmdline; echo; cp /proc/$$/environ environ.copy; env | sort'
    : 'env | sort'
  const { output } = await run(['ccr-upstream-proxy', 'run', '--', 'sh', '-c', script])
  transcript.claim('its environment names the proxy', /^HTTPS_PROXY=http:\/\/127\.0\.0\.1:\d+$/m.test(output))
  transcript.claim('its environment holds neither the secret nor the token', holdsNeither(output))
  if (!isLinux()) return transcript.note('(the command line and /proc/PID/environ are shown on Linux only)')
  transcript.claim('its command line holds neither', output.includes('sh -c') && holdsNeither(output))
  const environ = stage.readContainerFile('environ.copy') ?? ''
  transcript.claim(
    `its /proc/PID/environ (${environ.length} bytes) holds neither`,
    environ.includes('HTTPS_PROXY=') && holdsNeither(environ),
  )
}

async function showRelayProcess(): Promise<void> {
  transcript.step('What it can see of the process that holds the token')
  if (!isLinux()) return transcript.note('(shown on Linux only: elsewhere a process of the same user can look into it)')
  if (process.getuid?.() === 0) return transcript.note('(not shown to root, who may look into every process)')
  stage.provideToken()
  const script = 'cat /proc/$PPID/environ; head -c 1 /proc/$PPID/mem'
  const { output } = await run(['ccr-upstream-proxy', 'run', '--', 'sh', '-c', script])
  transcript.claim(
    'neither its environment nor its memory can be opened',
    output.split('Permission denied').length === 3 && holdsNeither(output),
  )
}

async function showPlainHttp(client: Client): Promise<void> {
  transcript.step('Plain HTTP is refused: it could be read on its way')
  stage.provideToken()
  const { output } = await run(client.httpCommand)
  transcript.claim('plain HTTP gets 405', /^HTTP\/1\.1 405 /.test(output) && /^allow: CONNECT\r?$/im.test(output))
}

async function showAudit(): Promise<void> {
  transcript.step("The gateway's audit: names of what was injected, never values")
  transcript.command('cat audit.jsonl')
  const audit = await stage.closeGatewayAndReadAudit()
  transcript.output(audit)
  const records = audit.split('\n', 1).map((line) => JSON.parse(line) as Record<string, unknown>)
  const [record] = records
  transcript.claim(
    'it has the request, with the name of the injected header',
    record?.host === ORIGIN_HOST && record.status === 200 && `${record.injected}`.toLowerCase() === 'authorization',
  )
  transcript.claim('it holds neither the secret nor the token', holdsNeither(audit))
}

// -- The parts of a step -------------------------------------------------------------------------------------------------

/** What asks the origin: curl, or a stand-in. */
interface Client {
  readonly name: string
  readonly httpsCommand: readonly string[]
  readonly httpCommand: readonly string[]
}

function chooseClient(): Client {
  const [https, http] = [`https://${ORIGIN_HOST}/v1/me`, `http://${ORIGIN_HOST}/`]
  const underProxy = ['ccr-upstream-proxy', 'run', '--']
  if (spawnSync('curl', ['--version']).status === 0) {
    return {
      name: 'curl',
      httpsCommand: [...underProxy, 'curl', '--silent', '--show-error', https],
      httpCommand: [...underProxy, 'sh', '-c', `curl --silent --include --proxy "$HTTPS_PROXY" ${http}`],
    }
  }
  transcript.note('curl is not installed: skipped; the same request by a small Node client')
  return {
    name: 'the client',
    httpsCommand: [...underProxy, ...stage.nodeClient, https],
    httpCommand: [...underProxy, ...stage.nodeClient, http],
  }
}

/** Shows a command and runs it. */
async function run(command: readonly string[]): Promise<CommandResult> {
  transcript.command(command.map(quote).join(' '))
  const [program = '', ...args] = command
  const result = await stage.run(program, ...args)
  transcript.output(result.output)
  return result
}

/** As a shell wants it. */
function quote(argument: string): string {
  return /^[\w@%+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", "'\\''")}'`
}

function holdsNeither(text: string): boolean {
  return !text.includes(stage.secret) && !text.includes(stage.token)
}

function isLinux(): boolean {
  return process.platform === 'linux'
}
