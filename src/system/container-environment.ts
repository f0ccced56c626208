// The container's own proxy and certificates, also where a relay's environment lies over them: inside of a session HTTPS_PROXY
// is the relay and SSL_CERT_FILE holds the gateway's CA, so that a start there would take the relay for the container's egress
// proxy, and trust the gateway with what the gateway itself has signed.

import { exceptOwnAddress, isOnLoopback, parseEgressProxy } from '../protocol/egress-proxy.js'
import { CHILD_VARIABLES, type VariableTarget } from './children/variables.js'
import type { Environment } from './environment.js'
import { type ContainerFacts, type RelayRecord, readAllRelayRecords } from './relay-record.js'

/** What a relay replaces for its children; everything else it extends. */
const REPLACED: readonly VariableTarget[] = ['proxy', 'no-proxy', 'full-bundle', 'extra-certificates']
const VARIABLES = CHILD_VARIABLES.filter(({ target }) => REPLACED.includes(target))

/** What a relay that starts in `environment` finds there, for its record. No password is in it. */
export function describeContainer(environment: Environment): ContainerFacts {
  const variables: Record<string, string> = {}
  let hasEgressCredential = false
  for (const { name, target } of VARIABLES) {
    const value = environment[name]
    if (!value) continue
    const proxy = target === 'proxy' ? parseEgressProxy(value.trim()) : undefined
    if (proxy?.authorization !== undefined) hasEgressCredential = true
    variables[name] = proxy?.url.href ?? value
  }
  return { variables, hasEgressCredential }
}

/** The relay of `records` that `environment` sends its clients to. */
export function relayOf(environment: Environment, records: readonly RelayRecord[]): RelayRecord | undefined {
  const proxy = parseEgressProxy((environment.https_proxy || environment.HTTPS_PROXY || '').trim())
  return proxy && records.find(({ port }) => exceptOwnAddress(proxy, port) === undefined)
}

/**
 * `environment` with what its relay has replaced put back as the relay had found it; as it is where no relay is in it.
 * @param records those that are known to run; looked for unless given
 */
export function containerEnvironment(environment: Environment, records?: readonly RelayRecord[]): Environment {
  const proxy = parseEgressProxy((environment.https_proxy || environment.HTTPS_PROXY || '').trim())
  if (proxy === undefined || !isOnLoopback(proxy)) return environment
  const relay = relayOf(environment, records ?? readAllRelayRecords().filter(isAlive))
  return relay === undefined ? environment : { ...environment, ...putBack(environment, relay) }
}

/** Only what has the relay's value: whatever somebody has set since is theirs. */
function putBack(
  environment: Environment,
  { port, targets, container }: RelayRecord,
): Record<string, string | undefined> {
  const found = container?.variables ?? {}
  const isOfRelay = (value: string, target: VariableTarget): boolean => {
    const proxy = target === 'proxy' ? parseEgressProxy(value.trim()) : undefined
    if (proxy !== undefined) return exceptOwnAddress(proxy, port) === undefined
    return value === (target === 'full-bundle' ? targets.fullBundleFile : targets.extraCertificatesFile)
  }
  const changes: Record<string, string | undefined> = {}
  for (const { name, target } of VARIABLES) {
    const value = environment[name]
    if (value === undefined) continue
    if (target === 'no-proxy') changes[name] = joinLists(found[name], entriesSince(value, targets.noProxy))
    else if (isOfRelay(value, target)) changes[name] = found[name]
  }
  return changes
}

/** What has been added to a list of the relay's. */
function entriesSince(list: string, ofRelay: string): string[] {
  const known = ofRelay.split(',')
  return list.split(/[\s,]+/).filter((entry) => entry !== '' && !known.includes(entry))
}

function joinLists(found: string | undefined, added: readonly string[]): string | undefined {
  return found === undefined && added.length === 0 ? undefined : [...(found ? [found] : []), ...added].join(',')
}

/** A record may have outlived its relay, and the port be somebody else's by now: kill(2). */
function isAlive({ pid }: RelayRecord): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
