// The environment of a relay in the forms that shells and tools read.

/** What `env --format` takes. */
export const ENVIRONMENT_FORMATS = ['sh', 'fish', 'json', 'dotenv', 'github'] as const
export type EnvironmentFormat = (typeof ENVIRONMENT_FORMATS)[number]

/** https://docs.github.com/actions/reference/workflow-commands-for-github-actions: the job gets an error for it. */
const REFUSED_BY_GITHUB = 'NODE_OPTIONS'

type Entry = readonly [name: string, value: string]

/** One line a variable, but for `json`, which is one object, and for values with line breaks. */
export function formatEnvironment(env: Readonly<Record<string, string>>, format: EnvironmentFormat): string {
  if (format === 'json') return JSON.stringify(env)
  const entries = Object.entries(env).filter(([name]) => format !== 'github' || name !== REFUSED_BY_GITHUB)
  return entries.map(FORMATTERS[format]).join('\n')
}

/** All `export` commands in one line, for a reader of the first line only. */
export function formatExportLine(env: Readonly<Record<string, string>>): string {
  return Object.entries(env).map(FORMATTERS.sh).join('; ')
}

const FORMATTERS: Readonly<Record<Exclude<EnvironmentFormat, 'json'>, (entry: Entry) => string>> = {
  sh: ([name, value]) => `export ${name}='${value.replaceAll("'", "'\\''")}'`,
  // In fish a backslash escapes itself and the quotation mark, also between quotation marks.
  fish: ([name, value]) => `set -gx ${name} '${value.replace(/['\\]/g, '\\$&')}'`,
  dotenv: ([name, value]) => `${name}=${quoteForDotenv(value)}`,
  github: ([name, value]) => formatForGithub(name, value),
}

/** Single quotation marks keep everything; where the value has one itself, double ones keep all but what is escaped. */
function quoteForDotenv(value: string): string {
  return value.includes("'") ? `"${value.replace(/["\\$]/g, '\\$&')}"` : `'${value}'`
}

/** For the file that GITHUB_ENV names: https://docs.github.com/actions/reference/workflow-commands-for-github-actions */
function formatForGithub(name: string, value: string): string {
  if (!/[\r\n]/.test(value)) return `${name}=${value}`
  let delimiter = 'END_OF_VALUE'
  while (value.includes(delimiter)) delimiter += '_'
  return `${name}<<${delimiter}\n${value}\n${delimiter}`
}
