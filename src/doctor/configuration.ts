// The first checks: whether the proxy is wanted, and what it is configured with.

import { accessSync, constants, lstatSync } from 'node:fs'
import { dirname } from 'node:path'
import { systemCode, UpstreamProxyError } from '../errors.js'
import type { Logger } from '../log.js'
import { createNoProxyList } from '../system/children/no-proxy-list.js'
import type { Environment } from '../system/environment.js'
import { findUnknownVariables, isEnabled, resolveSettings, type Settings } from '../system/settings.js'
import { type Examination, type Finding, needed } from './check.js'
import type { Ground } from './ground.js'

export async function examineConfiguration(
  examination: Examination,
  { environment, container }: Ground,
): Promise<Partial<Ground>> {
  examination.enter('configuration')
  await examination.check('guard', () => checkGuard(environment))
  const settings = await examination.check('settings', () => checkSettings(environment, examination.logger))
  const noProxy = await examination.check('no-proxy', () =>
    checkNoProxy(needed(settings, 'settings'), container, examination.logger),
  )
  return { settings, noProxy }
}

function checkGuard(environment: Environment): Finding<true> {
  if (!isEnabled({}, environment)) {
    throw new UpstreamProxyError('guard-off', 'the proxy is not turned on; the other checks go on as if it were')
  }
  return { seen: 'CLAUDE_CODE_REMOTE and CCR_UPSTREAM_PROXY_ENABLED are set', result: true }
}

function checkSettings(environment: Environment, logger: Logger): Finding<Settings> {
  const result = resolveSettings({}, environment)
  for (const warning of findUnknownVariables(environment)) logger.warn(warning)
  const seen = `gateway ${result.tunnelUrl}, session «${result.sessionId}»`
  if (result.allowsInspection) {
    const message = 'the start leaves the process open to debuggers, and the token to every process of this user'
    logger.warn(new UpstreamProxyError('inspection-allowed', message))
  }
  const { tunnelLog } = result
  const why = tunnelLog === undefined ? undefined : whyNoLineFile(tunnelLog)
  if (why !== undefined)
    logger.warn(new UpstreamProxyError('tunnel-log-failed', `${tunnelLog} could not be opened (${why})`))
  return { seen, result }
}

/** What opening a log would fail with; nothing is made, and a pipe's reader is not woken. */
function whyNoLineFile(path: string): string | undefined {
  try {
    const found = lstatSync(path, { throwIfNoEntry: false })
    if (found === undefined) accessSync(dirname(path), constants.W_OK | constants.X_OK)
    else if (found.isSymbolicLink()) return 'ELOOP'
    else if (found.isDirectory()) return 'EISDIR'
    else accessSync(path, constants.W_OK)
    return undefined
  } catch (error) {
    return systemCode(error)
  }
}

/** What clients reach past the relay. */
function checkNoProxy({ noProxyEntries }: Settings, environment: Environment, logger: Logger): Finding<string> {
  const { list, refused } = createNoProxyList(noProxyEntries, environment)
  const seen = `${list.split(',').length} entries`
  for (const { entry, reason } of refused)
    logger.warn(new UpstreamProxyError('no-proxy-refused', `NO_PROXY entry «${entry}» is left out: ${reason}`))
  return { seen, result: list }
}
