// The secrets of one config: every source once, however many rules use it, and the templates that are filled from them:
// `${env:NAME}`, `${file:path}`, `${secret:name}` (a name under `secrets`), `$$` for a dollar sign.

import { CommandSecret, type CommandSecretOptions } from './command-secret.js'
import { FileSecret } from './file-secret.js'
import { FilledTemplate } from './filled-template.js'
import { FixedSecret, isHeaderText, SecretError, type SecretReporter, type SecretSource } from './secret-source.js'

/** What stands under a name in `secrets`. */
export type NamedSecret =
  | { readonly env: string }
  | { readonly file: string }
  | { readonly command: readonly string[]; readonly ttlMs: number; readonly timeoutMs: number }

/** Where the store takes its values from. */
export interface SecretStoreOptions {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Makes a path of the config file absolute. */
  readonly resolvePath: (path: string) => string
  readonly named: Readonly<Record<string, NamedSecret>>
}

/** All secrets of a config. Commands run between `start()` and `stop()`. */
export class SecretStore {
  readonly #options: SecretStoreOptions
  readonly #files = new Map<string, FileSecret>()
  readonly #named = new Map<string, SecretSource>()
  #report: SecretReporter = () => {}

  constructor(options: SecretStoreOptions) {
    this.#options = options
  }

  /**
   * Runs every command once, and from then on when its time comes. `report` is told of sources that fail later.
   * @throws {SecretStartError} for the first command that fails
   */
  async start(report: SecretReporter): Promise<void> {
    this.#report = report
    const commands = [...this.#named].filter(
      (entry): entry is [string, CommandSecret] => entry[1] instanceof CommandSecret,
    )
    await Promise.all(
      commands.map(([name, command]) =>
        command.start().catch((error: Error) => {
          throw new SecretStartError(name, error.message)
        }),
      ),
    )
  }

  stop(): void {
    for (const source of this.#named.values()) if (source instanceof CommandSecret) source.stop()
  }

  /** Makes the source of a name under `secrets`. @throws {SecretError} */
  declare(name: string): void {
    this.#named.set(name, this.#createNamed(name, this.#options.named[name] as NamedSecret))
  }

  /**
   * Fills in `template`.
   * @throws {SecretError} for an unknown variable, file or name, an empty value, or a `$` that begins nothing
   */
  fill(template: string): FilledTemplate {
    const parts = splitTemplate(template).map((part) => (typeof part === 'string' ? part : this.#lookUp(part)))
    const sources = parts.filter((part) => typeof part !== 'string')
    const join = (secrets: readonly string[]) => {
      let used = 0
      return parts.map((part) => (typeof part === 'string' ? part : secrets[used++])).join('')
    }
    return new FilledTemplate({ sources, join })
  }

  #lookUp({ source, name }: TemplateReference): SecretSource {
    switch (source) {
      case 'env':
        return new FixedSecret(fromEnvironment(name, this.#options.env))
      case 'file':
        return this.#file(name)
      case 'secret': {
        const known = this.#named.get(name)
        if (known === undefined) throw new SecretError(`there is no secret ${name} under secrets`)
        return known
      }
    }
  }

  #file(name: string): FileSecret {
    const path = this.#options.resolvePath(name)
    const known = this.#files.get(path) ?? new FileSecret(path, (message) => this.#report(message))
    this.#files.set(path, known)
    return known
  }

  #createNamed(name: string, declared: NamedSecret): SecretSource {
    if ('env' in declared) return new FixedSecret(fromEnvironment(declared.env, this.#options.env))
    if ('file' in declared) return this.#file(declared.file)
    const { env, resolvePath } = this.#options
    const options: CommandSecretOptions = { name, ...declared, env, cwd: resolvePath('.') }
    return new CommandSecret(options, (message) => this.#report(message))
  }
}

/** A secret that could not be had when the gateway started. */
export class SecretStartError extends Error {
  override readonly name = 'SecretStartError'
  /** Its name under `secrets`. */
  readonly secret: string

  constructor(secret: string, message: string) {
    super(message)
    this.secret = secret
  }
}

/** The value of an environment variable. @throws {SecretError} */
export function fromEnvironment(name: string, env: SecretStoreOptions['env']): string {
  const value = env[name]
  if (value === undefined) throw new SecretError(`the environment variable ${name} is not set`)
  if (value === '') throw new SecretError(`the environment variable ${name} is empty`)
  if (!isHeaderText(value)) {
    throw new SecretError(`the environment variable ${name} gives a value that no header may have`)
  }
  return value
}

interface TemplateReference {
  readonly source: 'env' | 'file' | 'secret'
  readonly name: string
}

/** Texts and references in turn. */
function splitTemplate(template: string): (string | TemplateReference)[] {
  return template.split(/(\$(?:\$|\{[^}]*\}|))/).map((part) => {
    if (!part.startsWith('$')) return part
    if (part === '$$') return '$'
    const [, source, name] = /^\$\{(env|file|secret):(.+)\}$/.exec(part) ?? []
    if (part === '$') throw new SecretError(`a single $ is written $$; a reference is \${env:NAME}`)
    if (name === undefined) throw new SecretError(`a reference is \${env:NAME}, \${file:path} or \${secret:name}`)
    return { source: source as TemplateReference['source'], name }
  })
}
