// What a check says, and how one is run: its result goes to the checks that build on it, its failure becomes a line.

import { asUpstreamProxyError, type ErrorCode, UpstreamProxyError } from '../errors.js'
import { createLogger, type LogEntry } from '../log.js'

/** Where the fault lies. */
export type Hop = 'machine' | 'client' | 'relay' | 'egress proxy' | 'gateway' | 'origin'

/** One check, as `--json` prints it. */
export interface Check {
  readonly id: string
  readonly status: 'pass' | 'warn' | 'fail' | 'skip'
  /** Of doc/errors.md, or the gateway's own; always there when the check fails. */
  readonly code?: string
  /** Who said no; there with every code. */
  readonly hop?: Hop
  readonly seen?: string
  /** The next thing to do. */
  readonly hint?: string
  /** Milliseconds of what has stages. */
  readonly stages?: Readonly<Record<string, number>>
  /** Which part of the examination it belongs to. */
  readonly group: string
}

/** What a check found when it did not fail; `result` is for those that build on it. */
export interface Finding<T> {
  readonly seen: string
  readonly result: T
  readonly stages?: Readonly<Record<string, number>>
  /** It does, but somebody should know. */
  readonly warning?: UpstreamProxyError | Problem
}

/** A failure that is told with words of its own: a gateway's refusal, a client's need. */
export class Problem extends Error {
  override readonly name = 'Problem'
  readonly code: string
  readonly hop: Hop
  readonly hint: string

  constructor(facts: { readonly code: string; readonly hop: Hop; readonly hint: string; readonly message: string }) {
    super(facts.message)
    this.code = facts.code
    this.hop = facts.hop
    this.hint = facts.hint
  }
}

/** A check that cannot be made; `message` is the reason. */
export class Skipped extends Error {
  override readonly name = 'Skipped'
}

/**
 * What the check `id` found.
 * @throws {Skipped} when it did not pass
 */
export function needed<T>(value: T | undefined, id: string): T {
  if (value === undefined) throw new Skipped(`it needs ${id}, which did not pass`)
  return value
}

/** What the relay says to a client that has sent something wrong, and what it says because of its own state. */
const OF_REQUESTS: readonly ErrorCode[] = [
  ...(['bad-request', 'bad-authority', 'method-not-allowed', 'head-timeout', 'head-too-large'] as const),
  'http-version-unsupported',
]
const OF_RELAY: readonly ErrorCode[] = ['too-many-tunnels', 'descriptors-exhausted', 'shutting-down', 'proxy-loop']

/** The hop that an error of ours is about. */
export function hopOf(code: ErrorCode): Hop {
  if (code.startsWith('egress-')) return 'egress proxy'
  if (code.startsWith('client-')) return 'client'
  if (code.startsWith('gateway-') || code.startsWith('ca-')) return 'gateway'
  if (code === 'round-trip-failed' || code === 'target-untrusted') return 'origin'
  if (OF_REQUESTS.includes(code)) return 'client'
  if (OF_RELAY.includes(code)) return 'relay'
  return 'machine'
}

/** Who is told how the examination goes on. */
export interface Audience {
  /** A check begins. */
  begin(id: string): void
  /** It is over. */
  end(check: Check): void
}

/** Collects the checks, and the warnings that the parts log while one runs. */
export class Examination {
  readonly checks: Check[] = []
  readonly logger = createLogger('warn', (entry) => this.#warnings.push(entry))
  readonly #warnings: LogEntry[] = []
  readonly #audience: Audience
  readonly #deadline: number
  readonly #undo: (() => void | Promise<void>)[] = []
  #group = ''

  /** @param budgetMs milliseconds that the whole may take */
  constructor(audience: Audience, budgetMs: number) {
    this.#audience = audience
    this.#deadline = performance.now() + budgetMs
  }

  /** Milliseconds that are left. */
  remainingMs(): number {
    return Math.max(this.#deadline - performance.now(), 0)
  }

  /**
   * Milliseconds for one step, `most` at the most.
   * @throws {Skipped} when so little is left that its failure would say nothing
   */
  timeFor(most: number, least = 250): number {
    const leftMs = this.remainingMs()
    if (leftMs < least) throw new Skipped('no time was left for it')
    return Math.round(Math.min(leftMs, most))
  }

  /** What follows belongs to `group`. */
  enter(group: string): void {
    this.#group = group
  }

  /** Has `action` done when the examination is over; what came last goes first. */
  atEnd(action: () => void | Promise<void>): void {
    this.#undo.push(action)
  }

  async end(): Promise<void> {
    for (const action of this.#undo.splice(0).reverse()) await action()
  }

  /** Runs one check; its result, or undefined when it failed or was skipped. */
  async check<T>(id: string, examine: () => Finding<T> | Promise<Finding<T>>): Promise<T | undefined> {
    this.#audience.begin(id)
    try {
      const finding = await examine()
      this.#add(this.#passed(id, finding))
      return finding.result
    } catch (error) {
      this.#add({ id, ...this.#failed(error), group: this.#group })
      return undefined
    }
  }

  #passed(id: string, { seen, stages, warning }: Finding<unknown>): Check {
    const warnings = [...(warning === undefined ? [] : [factsOf(warning)]), ...this.#takeWarnings()]
    const rest = { ...(stages && { stages: rounded(stages) }), group: this.#group }
    if (warnings.length === 0) return { id, status: 'pass', seen, ...rest }
    return { id, status: 'warn', ...joined(warnings), ...rest }
  }

  /** What was warned of until then may be why. */
  #failed(thrown: unknown): Omit<Check, 'id' | 'group'> {
    const warnings = this.#takeWarnings()
    const failure = failureOf(thrown)
    return failure.status === 'skip' ? failure : { ...failure, ...joined([failure, ...warnings]) }
  }

  /** What was logged since the last check. */
  #takeWarnings(): Facts[] {
    return this.#warnings.splice(0).flatMap(({ code, message, hint = '' }) => {
      return code === undefined ? [] : [{ code, hop: hopOf(code), seen: message, hint: withoutRank(hint) }]
    })
  }

  #add(check: Check): void {
    this.checks.push(check)
    this.#audience.end(check)
  }
}

/** What is said of one problem. */
type Facts = Pick<Check, 'code' | 'hop' | 'seen' | 'hint'>

/** One row for several: the code is that of the first, everything that was seen and is to do is there. */
function joined(all: readonly Facts[]): Facts {
  const [first] = all
  const each = (texts: readonly (string | undefined)[]): string =>
    [...new Set(texts.filter((text) => text !== undefined && text !== ''))].join('; ')
  return { ...first, seen: each(all.map(({ seen }) => seen)), hint: each(all.map(({ hint }) => hint)) }
}

function failureOf(thrown: unknown): Omit<Check, 'id' | 'group'> {
  if (thrown instanceof Skipped) return { status: 'skip', seen: thrown.message }
  if (thrown instanceof Problem) return { status: 'fail', ...factsOf(thrown) }
  return { status: 'fail', ...factsOf(asUpstreamProxyError(thrown, 'internal-error', 'the check failed')) }
}

function factsOf(error: UpstreamProxyError | Problem): Facts {
  const { code, message, hint } = error
  const hop = error instanceof UpstreamProxyError ? hopOf(error.code) : error.hop
  return { code, hop, seen: message, hint: withoutRank(hint) }
}

/** The list of codes says which of them are warnings; here the status does. */
function withoutRank(hint: string): string {
  return hint.replace(/ \(a warning(?:: [^)]*)?\)$/, '')
}

function rounded(stages: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(stages).map(([name, ms]) => [name, Math.round(ms * 10) / 10]))
}
