// Reads the config file: YAML or JSON, by the schema, then what it names.

import { dirname, resolve } from 'node:path'
import { readForeignFile } from 'ccr-upstream-proxy/foreign-file'
import { LineCounter, parseDocument } from 'yaml'
import type { z } from 'zod'
import type { GatewayConfig } from './config.js'
import { type ConfigPath, type ConfigProblem, ConfigProblems, GatewayConfigError, lineOf } from './config-problem.js'
import { type ConfigOrigin, ConfigResolver } from './config-resolver.js'
import { configSchema } from './config-schema.js'

/** Ten thousand rules and more. */
const MAX_CONFIG_BYTES = 16 * 1_048_576

/**
 * Loads a config file.
 * @throws {GatewayConfigError} naming file, line and key of everything that is wrong
 */
export function loadGatewayConfig(file: string, env: ConfigOrigin['env']): GatewayConfig {
  const found = readForeignFile(file, { maxBytes: MAX_CONFIG_BYTES })
  if (found.problem !== undefined)
    throw new GatewayConfigError(file, [{ path: [], line: 1, message: `the file ${found.why}` }])
  return parseGatewayConfig(found.bytes.toString('utf8'), { file, env, baseDir: dirname(resolve(file)) })
}

/**
 * Parses a config text, YAML or JSON, and reads the files that it names.
 * @throws {GatewayConfigError} naming file, line and key of everything that is wrong
 */
export function parseGatewayConfig(text: string, origin: ConfigOrigin): GatewayConfig {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const fail = (problems: readonly ConfigProblem[]): never => {
    throw new GatewayConfigError(
      origin.file,
      problems.map((problem) => ({ ...problem, line: lineOf(document, lines, problem.path) })),
    )
  }
  const [syntaxError] = document.errors
  if (syntaxError !== undefined) {
    // Only the code: the library's messages quote the text.
    const problem = { path: [], line: lines.linePos(syntaxError.pos[0]).line, message: yamlMessage(syntaxError.code) }
    throw new GatewayConfigError(origin.file, [problem])
  }
  const result = configSchema.safeParse(document.toJS() ?? {})
  if (!result.success)
    return fail(result.error.issues.flatMap((issue) => schemaProblems(issue, (path) => document.hasIn(path))))
  const problems = new ConfigProblems()
  const locate = (path: ConfigPath) => `${origin.file}:${lineOf(document, lines, path)}`
  const config = { ...new ConfigResolver(origin, result.data, problems).resolve(), locate }
  return problems.list.length > 0 ? fail(problems.list) : config
}

function yamlMessage(code: string): string {
  return `is not valid YAML or JSON (${code.toLowerCase().replaceAll('_', ' ')})`
}

/** A key that is not known is reported at the key itself. */
function schemaProblems(issue: z.core.$ZodIssue, isPresent: (path: ConfigPath) => boolean): ConfigProblem[] {
  const path = issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part))
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: [...path, key], message: 'is not a known key' }))
  }
  if (issue.code === 'invalid_key') return [{ path, message: issue.issues[0]?.message ?? issue.message }]
  if (issue.code === 'invalid_type') return [{ path, message: isPresent(path) ? issue.message : 'is missing' }]
  return [{ path, message: issue.message }]
}
