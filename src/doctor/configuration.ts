// The first checks: whether the proxy is wanted, and what it is configured with.

import { UpstreamProxyError } from '../errors.js'
import { createNoProxyList } from '../system/children/no-proxy-list.js'
import { type Environment, isEnabled, resolveSettings, type Settings } from '../system/settings.js'
import { type Examination, type Finding, needed } from './check.js'
import type { Ground } from './ground.js'

export async function examineConfiguration(
  examination: Examination,
  { environment }: Ground,
): Promise<Partial<Ground>> {
  examination.enter('configuration')
  await examination.check('guard', () => checkGuard(environment))
  const settings = await examination.check('settings', () => checkSettings(environment))
  const noProxy = await examination.check('no-proxy', () => checkNoProxy(needed(settings, 'settings'), environment))
  return { settings, noProxy }
}

function checkGuard(environment: Environment): Finding<true> {
  if (!isEnabled({}, environment)) {
    throw new UpstreamProxyError('guard-off', 'the proxy is not turned on; the other checks go on as if it were')
  }
  return { seen: 'CLAUDE_CODE_REMOTE and CCR_UPSTREAM_PROXY_ENABLED are set', result: true }
}

function checkSettings(environment: Environment): Finding<Settings> {
  const result = resolveSettings({}, environment)
  const seen = `gateway ${result.tunnelUrl}, session «${result.sessionId}»`
  if (!result.allowsInspection) return { seen, result }
  const message = 'the start leaves the process open to debuggers, and the token to every process of this user'
  return { seen, result, warning: new UpstreamProxyError('inspection-allowed', message) }
}

/** What clients reach past the relay. */
function checkNoProxy({ noProxyAdditions }: Settings, environment: Environment): Finding<string> {
  const { list, refused } = createNoProxyList(noProxyAdditions, environment)
  const seen = `${list.split(',').length} entries`
  const [first] = refused
  if (first === undefined) return { seen, result: list }
  const message = `NO_PROXY entry «${first.entry}» is left out: ${first.reason}`
  return { seen, result: list, warning: new UpstreamProxyError('no-proxy-refused', message) }
}
