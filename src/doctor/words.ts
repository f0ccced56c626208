// Words of others, made fit to be shown: printable, short, and never with the session token in them.

import type { HttpAnswer } from '../protocol/http-answer.js'
import type { SessionToken } from '../system/token.js'

/** Two lines of a terminal. */
const MAX_SHOWN = 160

/** What a hop said of a refusal. The shape is the one that the relay's and the gateway's own refusals have. */
export interface HopWords {
  /** Its code, when it is one. */
  readonly code: string | undefined
  readonly hint: string | undefined
  /** Whether it was the relay that refused. */
  readonly isOfRelay: boolean
  /** The whole in one line. */
  readonly text: string
}

/** Takes every form of the token that goes over the wire out of `text`. */
export type Redact = (text: string) => string

export function redactorOf(token: SessionToken, sessionId: string): Redact {
  return (text) =>
    token.withToken((bytes) => {
      const plain = bytes.toString('latin1')
      const forms = [`${sessionId}:${plain}`, plain].flatMap((form) => [Buffer.from(form).toString('base64'), form])
      return forms.reduce((rest, form) => rest.replaceAll(form, '[redacted]'), text)
    })
}

/** What a refusing answer says, cut to what a terminal can take. */
export function wordsOf({ status, reason, headers, body }: HttpAnswer, redact: Redact): HopWords {
  const said = parseRefusal(redact(body))
  const detail = said.message ?? redact(headers.get('proxy-status') ?? body)
  return {
    code: /^[a-z][a-z0-9-]{1,40}$/.test(said.code ?? '') ? said.code : undefined,
    hint: said.hint === undefined ? undefined : printable(said.hint),
    isOfRelay: said.hop === 'relay',
    text: printable(`${status} ${redact(reason)}${detail === '' ? '' : `: ${detail}`}`),
  }
}

const REFUSAL_FIELDS = ['hop', 'code', 'message', 'hint'] as const

function parseRefusal(body: string): Readonly<Partial<Record<(typeof REFUSAL_FIELDS)[number], string>>> {
  try {
    const fields = JSON.parse(body) as Readonly<Record<string, unknown>> | null
    const texts = REFUSAL_FIELDS.map((name) => [name, fields?.[name]] as const)
    return Object.fromEntries(texts.filter(([, value]) => typeof value === 'string'))
  } catch {
    return {}
  }
}

/** What a terminal takes for commands: ECMA-48, section 5.4. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they begin with one
const CONTROL_SEQUENCES = /\x1b\[[0-?]*[ -/]*[@-~]/g

/** One line of visible characters: what steers a terminal is gone. */
export function printable(text: string, most = MAX_SHOWN): string {
  const line = text
    .replace(CONTROL_SEQUENCES, '')
    .replace(/[^\x20-\x7e\u00a1-\u024f]+/g, ' ')
    .trim()
  return line.length > most ? `${line.slice(0, most - 1)}…` : line
}
