// GIT_CONFIG_COUNT and its keys and values (git-config(1), ENVIRONMENT): settings for git that need no file. What the
// container has there already stays.

import type { Environment } from '../environment.js'

/**
 * What git is told: HTTP/1.1, and `url.<base>.insteadOf` for every form in which `httpsHosts` are named over SSH.
 *
 * Over HTTP/2, git with libcurl 7.88 does not go on with a push that had to wait for the window (RFC 9113, section 5.2),
 * whoever the server is.
 */
export function gitSettings(httpsHosts: readonly string[]): (readonly [key: string, value: string])[] {
  const addresses = httpsHosts.flatMap((host) =>
    [`git@${host}:`, `ssh://git@${host}/`].map((address) => [`url.https://${host}/.insteadOf`, address] as const),
  )
  return [['http.version', 'HTTP/1.1'], ...addresses]
}

/** The variables that add `settings` to those of `environment`; none when they are all there. */
export function extendGitConfig(
  environment: Environment,
  settings: readonly (readonly [key: string, value: string])[],
): Record<string, string> {
  const count = /^[0-9]{1,6}$/.test(environment.GIT_CONFIG_COUNT ?? '') ? Number(environment.GIT_CONFIG_COUNT) : 0
  const present = new Set(Array.from({ length: count }, (_, index) => pairAt(environment, index)))
  const missing = settings.filter(([key, value]) => !present.has(`${key}=${value}`))
  if (missing.length === 0) return {}
  const changes: Record<string, string> = { GIT_CONFIG_COUNT: String(count + missing.length) }
  for (const [offset, [key, value]] of missing.entries()) {
    changes[`GIT_CONFIG_KEY_${count + offset}`] = key
    changes[`GIT_CONFIG_VALUE_${count + offset}`] = value
  }
  return changes
}

function pairAt(environment: Environment, index: number): string {
  return `${environment[`GIT_CONFIG_KEY_${index}`]}=${environment[`GIT_CONFIG_VALUE_${index}`]}`
}
