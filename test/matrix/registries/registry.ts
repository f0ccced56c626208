// The registries that an origin has below its paths: what each is asked with, and the table of them.

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Scope } from '../../support/temp-dir.js'
import { createCargoRegistry } from './cargo.js'
import { createComposerRegistry } from './composer.js'
import { createDebianRegistry } from './debian.js'
import { createGemRegistry } from './gems.js'
import { createGitRegistry } from './git.js'
import { createGoRegistry } from './go.js'
import { createMavenRegistry } from './maven.js'
import { createNpmRegistry } from './npm.js'
import { createPypiRegistry } from './pypi.js'

/** A request below a registry's path. */
export interface RegistryRequest {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** The registry's address as the client knows it, without a slash at the end. */
  readonly base: string
  /** What stands behind it. */
  readonly path: string
}

/** Answers a request. */
export type Registry = (request: RegistryRequest) => void | Promise<void>

/** What a registry is made of. */
export interface RegistryOptions {
  readonly scope: Scope
  /** Goes into every package: whoever prints it has unpacked one. */
  readonly word: string
}

/** By path. They are made when they are first asked for. */
export const REGISTRIES: Readonly<Record<string, (options: RegistryOptions) => Registry | Promise<Registry>>> = {
  cargo: createCargoRegistry,
  composer: createComposerRegistry,
  debian: createDebianRegistry,
  gems: createGemRegistry,
  git: createGitRegistry,
  go: createGoRegistry,
  maven: createMavenRegistry,
  npm: createNpmRegistry,
  pypi: createPypiRegistry,
}

/** Files by path, the contents given for the address that the client knows. */
export function serveFiles(files: (base: string) => Readonly<Record<string, string | Buffer>>): Registry {
  return ({ request, response, base, path }) => {
    request.resume()
    const content = files(base)[path]
    if (content === undefined) {
      response.writeHead(404).end()
      return
    }
    const bytes = Buffer.from(content)
    response.writeHead(200, { 'Content-Length': bytes.length })
    response.end(request.method === 'HEAD' ? undefined : bytes)
  }
}
