// The examination: every group of checks in its order, each given what the ones before have found. Nothing of the container
// is changed: the token file stays, and what is written lies in a private folder that goes with the examination.

import { containerEnvironment, relayOf } from '../system/container-environment.js'
import type { Environment } from '../system/environment.js'
import { readAllRelayRecords } from '../system/relay-record.js'
import { examineCertificates } from './certificates.js'
import { type Audience, type Check, Examination } from './check.js'
import { examineClients } from './clients.js'
import { examineConfiguration } from './configuration.js'
import { examineWay } from './gateway-way.js'
import type { Ground } from './ground.js'
import { examineContainer, examineProcess } from './hardening.js'
import { findRelay } from './running-relay.js'
import { examineTunnel } from './tunnel.js'

/** The whole ends within 15 seconds: what has begun by then may take this long, the rest goes to its start and its end. */
const BUDGET_MS = 12_500

type Group = (examination: Examination, ground: Ground) => Partial<Ground> | Promise<Partial<Ground>>

const GROUPS: readonly Group[] = [
  examineConfiguration,
  examineProcess,
  examineContainer,
  examineWay,
  examineCertificates,
  examineTunnel,
  examineClients,
]

/** What is examined. */
export interface DoctorOptions {
  readonly environment: Environment
  /** `https:` address that is asked for through the tunnel; the gateway's own host unless it is given. */
  readonly targetUrl: URL | undefined
  /** Names of CLIENT_NAMES that alone are tried, each with all the time that is left. */
  readonly clientNames?: readonly string[] | undefined
  readonly audience: Audience
}

/** Makes every check; never rejects for what a check finds. */
export async function examine({ audience, ...given }: DoctorOptions): Promise<readonly Check[]> {
  const examination = new Examination(audience, BUDGET_MS)
  let ground: Ground = { ...given, ...(await findSession(given.environment)) }
  try {
    for (const group of GROUPS) ground = { ...ground, ...(await group(examination, ground)) }
  } finally {
    await examination.end()
  }
  return examination.checks
}

/** Whether this is in the midst of a relay's children, whose environment is not the container's any more. */
async function findSession(environment: Environment): Promise<Pick<Ground, 'container' | 'running'>> {
  const running = await findRelay(relayOf(environment, readAllRelayRecords())?.port)
  return { running, container: containerEnvironment(environment, running === undefined ? [] : [running.record]) }
}
