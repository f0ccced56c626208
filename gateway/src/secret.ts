// A value that must not be seen: kept out of console.log, JSON and string joins, read only where it goes on the wire.
// And the templates of the config file that make one: `${env:NAME}`, `${file:path}`, `$$` for a dollar sign.

import { readFileSync, statSync } from 'node:fs'
import { inspect } from 'node:util'

/** Wraps a secret text. Only `reveal()` gives it back. */
export class Secret {
  readonly #value: string

  constructor(value: string) {
    this.#value = value
  }

  reveal(): string {
    return this.#value
  }

  toString(): string {
    return '[secret]'
  }

  toJSON(): string {
    return '[secret]'
  }

  [inspect.custom](): string {
    return '[secret]'
  }
}

/** Where templates take their values from. */
export interface SecretSources {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Makes a path of the config file absolute. */
  readonly resolvePath: (path: string) => string
}

/** A template that cannot be filled in. The message names the variable or the file, never a value. */
export class TemplateError extends Error {
  override readonly name = 'TemplateError'
}

/** A secret is a header field; none comes near this, and a wrong file (a log, a disk image) is not read whole. */
const MAX_SECRET_BYTES = 65_536

/**
 * Fills in `template`.
 * @throws {TemplateError} for an unknown variable or file, an empty value, or a `$` that begins nothing
 */
export function fillTemplate(template: string, sources: SecretSources): string {
  return template.replace(/\$(?:\$|\{([^}]*)\}|)/g, (whole, reference: string | undefined) => {
    if (whole === '$$') return '$'
    if (reference === undefined) throw new TemplateError(`a single $ is written $$; a reference is \${env:NAME}`)
    return lookUp(reference, sources)
  })
}

function lookUp(reference: string, sources: SecretSources): string {
  const colon = reference.indexOf(':')
  const source = reference.slice(0, Math.max(colon, 0))
  const name = reference.slice(colon + 1)
  if (source === 'env' && name !== '') return fromEnvironment(name, sources)
  if (source === 'file' && name !== '') return readSecretFile(sources.resolvePath(name))
  throw new TemplateError(`a reference is \${env:NAME} or \${file:path}`)
}

/** The value of an environment variable. */
export function fromEnvironment(name: string, sources: SecretSources): string {
  const value = sources.env[name]
  if (value === undefined) throw new TemplateError(`the environment variable ${name} is not set`)
  if (value === '') throw new TemplateError(`the environment variable ${name} is empty`)
  return value
}

/** The content of a file without the one newline that editors put at its end. */
export function readSecretFile(path: string, maxBytes: number = MAX_SECRET_BYTES): string {
  const content = readBounded(path, maxBytes)
  const value = content.replace(/\r?\n$/, '')
  if (value === '') throw new TemplateError(`the file ${path} is empty`)
  return value
}

function readBounded(path: string, maxBytes: number): string {
  let isTooLarge: boolean
  try {
    isTooLarge = statSync(path).size > maxBytes
    if (!isTooLarge) return readFileSync(path, 'utf8')
  } catch (error) {
    throw new TemplateError(`the file ${path} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'error'})`)
  }
  throw new TemplateError(`the file ${path} is larger than ${maxBytes} bytes`)
}
