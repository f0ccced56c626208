// The six steps from nothing to a running proxy; the only file that knows every part. A step that fails undoes what was
// done before it, but for the hardening, and leaves the proxy off: a broken proxy must never break a working session.

import type { Addon } from './addon.js'
import { asUpstreamProxyError, type ErrorCode, UpstreamProxyError } from './errors.js'
import { createLogger, type Logger, type LogSink } from './log.js'
import type { RelayLimits } from './relay/limits.js'
import type { RelayStatistics } from './relay/monitor.js'
import type { Relay } from './relay/relay.js'
import { gatewaySilent } from './runtime/failures.js'
import { removeAbandonedFolders } from './system/abandoned-folders.js'
import type { ProvidedCertificates } from './system/certificates/certificate-keeper.js'
import { findCertificateSources } from './system/certificates/certificate-sources.js'
import { type ChildTargets, createChildEnvironment } from './system/children/child-env.js'
import { writeChildFiles } from './system/children/child-files.js'
import { createNoProxyList } from './system/children/no-proxy-list.js'
import { containerEnvironment, describeContainer } from './system/container-environment.js'
import { assertInspectorClosed } from './system/doors.js'
import { type ContainerProxy, egressTo, readContainerProxy } from './system/egress.js'
import type { Environment } from './system/environment.js'
import { assertHardened, findHardeningAddon, hardenProcess } from './system/harden.js'
import { PrivateDirectory } from './system/private-directory.js'
import { writeRelayRecord } from './system/relay-record.js'
import {
  findUnknownVariables,
  isEnabled,
  resolveLogLevel,
  resolveSettings,
  type Settings,
  type SettingsOptions,
} from './system/settings.js'
import { placeStatusSocket } from './system/status-place.js'
import { openRelayHome, type RelayThreadChoice } from './thread/open-relay-home.js'
import type { RelayHome } from './thread/relay-home.js'
import { UndoStack } from './undo-stack.js'

/** What initUpstreamProxy() takes; every option wins over the environment. */
export interface UpstreamProxyOptions extends SettingsOptions {
  /** The environment to read and to extend. process.env unless given. */
  readonly environment?: Environment
  /** Port of the relay on 127.0.0.1. 0, the default, leaves the choice to the system. */
  readonly port?: number
  /** Limits that are not to be the defaults. */
  readonly limits?: Partial<RelayLimits>
  /**
   * Where the relay runs and the token is held. `worker`, the default: in a thread of its own, so that tunnels go on while
   * the program blocks its event loop. `main`: in the thread that calls, which takes less memory and starts sooner; so it is
   * where no thread can be started. doc/worker-thread.md has the figures.
   */
  readonly thread?: RelayThreadChoice
  /** Where log entries go instead of to standard error. */
  readonly logSink?: LogSink
}

/** A proxy that runs. */
export interface EnabledProxy {
  /** Tells an EnabledProxy from a DisabledProxy. */
  readonly enabled: true
  /** Port on 127.0.0.1. */
  readonly port: number
  /** `http://127.0.0.1:<port>` */
  readonly proxyUrl: string
  /** File with the system's certificates and the gateway's CA; it goes with close(). */
  readonly caBundlePath: string
  /** What children need on top of the environment that this call read: every change, none of them a removal. */
  readonly env: Readonly<Record<string, string>>
  /** `base`, process.env unless given, with the changes that it needs: what it has of its own is extended and merged. */
  childEnvironment(base?: Environment): Record<string, string | undefined>
  /** Counters since the start, as of now. */
  stats(): RelayStatistics
  /**
   * Stops the relay and removes its files.
   * @param graceMs milliseconds that open tunnels get; 5,000 unless given
   */
  close(graceMs?: number): Promise<void>
  /** As close(), for `await using`. */
  [Symbol.asyncDispose](): Promise<void>
}

/** A proxy that stays off, and why. Its methods do nothing, so that callers need not ask. */
export interface DisabledProxy {
  readonly enabled: false
  /** Of doc/errors.md; `guard-off` where the proxy was not asked for. */
  readonly code: ErrorCode
  /** What went wrong, in a sentence; no secret is in it. */
  readonly reason: string
  /** The next thing to do. */
  readonly hint: string
  readonly port: undefined
  readonly proxyUrl: undefined
  readonly caBundlePath: undefined
  readonly env: Readonly<Record<string, never>>
  /** A copy of `base`. */
  childEnvironment(base?: Environment): Record<string, string | undefined>
  stats(): undefined
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

export type UpstreamProxy = EnabledProxy | DisabledProxy

/**
 * Starts the proxy in this process. Never throws and never rejects: whatever fails, the answer says so and the session
 * goes on without the proxy.
 */
export function initUpstreamProxy(options: UpstreamProxyOptions = {}): Promise<UpstreamProxy> {
  return initWithin(undefined, options)
}

/**
 * As initUpstreamProxy(). Where nothing on the way to the gateway answers for so many milliseconds the proxy is off, and its relay
 * goes on trying until close().
 */
export async function initWithin(
  reachTimeoutMs: number | undefined,
  options: UpstreamProxyOptions,
): Promise<UpstreamProxy> {
  try {
    const environment = options.environment ?? process.env
    if (!isEnabled(options, environment))
      return disabledBy(new UpstreamProxyError('guard-off', 'the proxy is not turned on'))
    const logger = createLogger(resolveLogLevel(options, environment), options.logSink)
    return await start({ options, environment, reachTimeoutMs }, logger)
  } catch (error) {
    return disabledBy(asUpstreamProxyError(error, 'internal-error', 'the start failed'))
  }
}

interface StartInputs {
  readonly options: UpstreamProxyOptions
  readonly environment: Environment
  readonly reachTimeoutMs: number | undefined
}

async function start(inputs: StartInputs, logger: Logger): Promise<UpstreamProxy> {
  const { options, environment, reachTimeoutMs } = inputs
  const undo = new UndoStack((error) => {
    logger.warn(asUpstreamProxyError(error, 'internal-error', 'the clean-up failed'))
  })
  try {
    const settings = resolveSettings(options, environment)
    for (const warning of findUnknownVariables(environment)) logger.warn(warning)
    const hardeningAddon = harden(settings, logger)
    const opening = openRelayHome(options.thread, logger)
    undo.push(async () => (await opening).close())
    const sweeping = removeAbandonedFolders(logger)
    if (hardeningAddon !== undefined) await untilSignalsHaveActed()
    const container = containerEnvironment(environment)
    const containerProxy = readContainerProxy(container)
    const noProxy = listNoProxy(settings, container, logger)
    const home = await opening
    await home.readCertificates(findCertificateSources(settings, container))
    await home.readTokenFile({ path: settings.tokenFile, isHardened: hardeningAddon !== undefined })
    assertClosed(settings, hardeningAddon)
    await sweeping
    const directory = new PrivateDirectory()
    undo.push(() => directory.remove())
    const statusSocket = placeStatusSocket(directory, (folder) => undo.push(() => folder.remove()), logger)
    const relay = await listen({ options, settings, home, noProxy, containerProxy, statusSocket }, undo)
    const { isGatewaySilent, ...files } = await provideFiles(settings, { environment, reachTimeoutMs, home, directory })
    const targets: ChildTargets = { proxyUrl: relay.proxyUrl, noProxy, ...files, choice: settings.childEnv }
    writeRelayRecord(directory, {
      pid: process.pid,
      port: relay.port,
      startedAt: Date.now(),
      ...(statusSocket === undefined ? {} : { statusSocket }),
      targets,
      container: describeContainer(container),
    })
    // Last: a start that fails leaves the token to the next one.
    assertClosed(settings, hardeningAddon)
    await home.removeTokenFile()
    if (isGatewaySilent && reachTimeoutMs !== undefined) return silentProxy(gatewaySilent(reachTimeoutMs), undo, logger)
    return enabledProxy(relay, targets, environment, undo)
  } catch (error) {
    const failure = asUpstreamProxyError(error, 'internal-error', 'the start failed')
    await undo.run()
    logger.warn(failure)
    return disabledBy(failure)
  }
}

// -- Steps 2 and 3: harden first, then read, so that the token is never in a process that can be looked into -------------

/** The addon with which the process was hardened; undefined where it was not. */
function harden(settings: Settings, logger: Logger): Addon | undefined {
  const addon = findHardeningAddon() ?? warnUnhardened(logger)
  if (settings.allowsInspection) return warnOfInspection(logger)
  if (addon !== undefined) hardenProcess(addon)
  return addon
}

/** The rest of the program runs between the steps, and could have opened what was closed. */
function assertClosed({ allowsInspection }: Settings, hardeningAddon: Addon | undefined): void {
  if (!allowsInspection) assertInspectorClosed()
  if (hardeningAddon !== undefined) assertHardened(hardeningAddon)
}

/** A SIGUSR1 that came before the handler opens the inspector some turns of the event loop later. */
async function untilSignalsHaveActed(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) {
    await new Promise((resolve) => setTimeout(resolve, 1))
    assertInspectorClosed()
  }
}

function warnUnhardened(logger: Logger): undefined {
  logger.warn(new UpstreamProxyError('hardening-unsupported', `the process cannot be hardened on ${process.platform}`))
}

function warnOfInspection(logger: Logger): undefined {
  const message = 'THE PROCESS IS NOT HARDENED: every process of this user can read the session token'
  logger.warn(new UpstreamProxyError('inspection-allowed', message))
}

// -- Step 4: the CA --------------------------------------------------------------------------------------------------------

type ProvidedFiles = Pick<ChildTargets, 'fullBundleFile' | 'extraCertificatesFile' | 'files'> &
  Pick<ProvidedCertificates, 'isGatewaySilent'>

interface FileInputs extends Pick<StartInputs, 'environment' | 'reachTimeoutMs'> {
  readonly home: RelayHome
  readonly directory: PrivateDirectory
}

async function provideFiles(
  { childEnv, caUrl }: Settings,
  { environment, reachTimeoutMs, home, directory }: FileInputs,
): Promise<ProvidedFiles> {
  const hasJavaTrustStore = childEnv.level === 'files'
  const provided = await home.provideCertificates({
    caUrl,
    directory: directory.path,
    hasJavaTrustStore,
    reachTimeoutMs,
  })
  const { javaTrustStore, ...bundles } = provided
  if (javaTrustStore === undefined) return bundles
  return { ...bundles, files: writeChildFiles(directory, environment, { ...bundles, javaTrustStore }) }
}

/** What children reach past the relay, and the relay past the gateway. */
function listNoProxy({ noProxyEntries }: Settings, environment: Environment, logger: Logger): string {
  const { list, refused } = createNoProxyList(noProxyEntries, environment)
  for (const { entry, reason } of refused) {
    logger.warn(new UpstreamProxyError('no-proxy-refused', `NO_PROXY entry «${entry}» is left out: ${reason}`))
  }
  return list
}

// -- Steps 5 and 6: the relay, then the token file ---------------------------------------------------------------------------

interface ListenInputs {
  readonly options: UpstreamProxyOptions
  readonly settings: Settings
  readonly home: RelayHome
  readonly noProxy: string
  readonly containerProxy: ContainerProxy
  readonly statusSocket: string | undefined
}

async function listen(inputs: ListenInputs, undo: UndoStack): Promise<Relay> {
  const { options, settings, home, noProxy, containerProxy, statusSocket } = inputs
  const egress = egressTo(settings.tunnelUrl, containerProxy)
  const relay = await home.listen({
    tunnelUrl: settings.tunnelUrl,
    sessionId: settings.sessionId,
    bypass: {
      noProxy,
      egressNoProxy: containerProxy.noProxy,
      ...(containerProxy.egress === undefined ? {} : { egress: containerProxy.egress }),
    },
    ...(egress === undefined ? {} : { egress }),
    ...(options.port === undefined ? {} : { port: options.port }),
    ...(statusSocket === undefined ? {} : { statusSocket }),
    ...(settings.tunnelLog === undefined ? {} : { tunnelLog: settings.tunnelLog }),
    limits: {
      ...(settings.pingIntervalMs === undefined ? {} : { pingIntervalMs: settings.pingIntervalMs }),
      ...options.limits,
    },
  })
  // The token goes with the relay, before the files.
  undo.push((graceMs) => home.close(graceMs))
  return relay
}

// -- Results -------------------------------------------------------------------------------------------------------------

function enabledProxy(relay: Relay, targets: ChildTargets, environment: Environment, undo: UndoStack): EnabledProxy {
  const close = (graceMs?: number): Promise<void> => undo.run(graceMs)
  return {
    enabled: true,
    port: relay.port,
    proxyUrl: relay.proxyUrl,
    caBundlePath: targets.fullBundleFile,
    env: createChildEnvironment(targets, environment),
    childEnvironment: (base = process.env) => ({ ...base, ...createChildEnvironment(targets, base) }),
    stats: () => relay.stats(),
    close,
    [Symbol.asyncDispose]: () => close(),
  }
}

/** Off, though its relay runs. */
function silentProxy(failure: UpstreamProxyError, undo: UndoStack, logger: Logger): DisabledProxy {
  logger.warn(failure)
  const close = (): Promise<void> => undo.run()
  return { ...disabledBy(failure), close, [Symbol.asyncDispose]: close }
}

function disabledBy({ code, message, hint }: UpstreamProxyError): DisabledProxy {
  const close = (): Promise<void> => Promise.resolve()
  return {
    enabled: false,
    code,
    reason: message,
    hint,
    port: undefined,
    proxyUrl: undefined,
    caBundlePath: undefined,
    env: {},
    childEnvironment: (base = process.env) => ({ ...base }),
    stats: () => undefined,
    close,
    [Symbol.asyncDispose]: close,
  }
}
