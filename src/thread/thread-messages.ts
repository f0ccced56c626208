// What the program's thread and the relay's say to each other, all of it plain data for the structured clone algorithm, and
// how what is not plain data becomes it.

import { type ErrorCode, UpstreamProxyError } from '../errors.js'
import type { EgressProxy } from '../protocol/egress-proxy.js'
import type { BypassOptions } from '../relay/bypass-carrier.js'
import type { EventName } from '../relay/channels.js'
import type { RelayStatistics } from '../relay/monitor.js'
import type { ProvidedCertificates } from '../system/certificates/certificate-keeper.js'
import type { CertificateSources } from '../system/certificates/certificate-sources.js'
import type { HomeProvision, HomeRelayOptions, TokenFile } from './relay-home.js'
import type { StatisticsLineEnd } from './statistics-line.js'

/** What the relay's thread is given when it starts. */
export interface ThreadStart {
  readonly statisticsLine: StatisticsLineEnd
  /** One Int32: whether anybody listened to events when the last ones came. */
  readonly isHeard: SharedArrayBuffer
}

/** What the relay's thread can be asked. */
export interface ThreadMethods {
  readCertificates(sources: CertificateSources): Promise<void>
  readTokenFile(file: TokenFile): Promise<void>
  removeTokenFile(): Promise<void>
  listen(options: PlainRelayOptions): Promise<{ readonly port: number; readonly statistics: RelayStatistics }>
  provideCertificates(inputs: PlainProvision): Promise<ProvidedCertificates>
  /** The last figures of the relay. */
  close(graceMs: number | undefined): Promise<RelayStatistics | undefined>
}

type PlainProvision = Omit<HomeProvision, 'caUrl'> & { readonly caUrl: string }

/** The program asks. */
export interface ThreadQuestion {
  readonly id: number
  readonly method: keyof ThreadMethods
  readonly args: readonly unknown[]
}

/** The relay's thread answers. */
export type ThreadAnswer =
  | { readonly id: number; readonly value: unknown; readonly failure?: never }
  | { readonly id: number; readonly value?: never; readonly failure: PlainError }

/** The relay's thread tells, unasked: an event for the diagnostics channels, or an entry for the log. */
export type ThreadNotice =
  | { readonly event: EventName; readonly message: object }
  | { readonly level: 'error' | 'warn'; readonly error: PlainError }
  | { readonly level: 'info' | 'debug'; readonly text: string }

/** Everything that comes from the relay's thread. */
export type FromThread = { readonly isReady: true } | { readonly notices: readonly ThreadNotice[] } | ThreadAnswer

// -- Errors ----------------------------------------------------------------------------------------------------------------

export interface PlainError {
  readonly code: ErrorCode
  readonly message: string
  readonly side: UpstreamProxyError['side']
}

export function toPlainError({ code, message, side }: UpstreamProxyError): PlainError {
  return { code, message, side }
}

export function fromPlainError({ code, message, side }: PlainError): UpstreamProxyError {
  return new UpstreamProxyError(code, message, { side })
}

// -- Options ---------------------------------------------------------------------------------------------------------------

interface PlainEgressProxy {
  readonly url: string
  readonly authorization: string | undefined
}

type WithPlainEgress<T> = Omit<T, 'egress'> & { readonly egress?: string | PlainEgressProxy }

/** A token that goes over is a text. */
export type PlainRelayOptions = Omit<WithPlainEgress<HomeRelayOptions>, 'tunnelUrl' | 'token' | 'bypass'> & {
  readonly tunnelUrl: string
  readonly token?: string
  readonly bypass?: WithPlainEgress<BypassOptions>
}

/** @throws {UpstreamProxyError} `config-invalid` for a token that only this thread can lend out */
export function toPlainOptions({ tunnelUrl, token, bypass, ...options }: HomeRelayOptions): PlainRelayOptions {
  if (token !== undefined && typeof token !== 'string') {
    throw new UpstreamProxyError('config-invalid', 'a token that is lent out by functions needs thread: main')
  }
  return {
    ...withPlainEgress(options),
    tunnelUrl: `${tunnelUrl}`,
    ...(token === undefined ? {} : { token }),
    ...(bypass === undefined ? {} : { bypass: withPlainEgress(bypass) }),
  }
}

export function fromPlainOptions({ bypass, ...options }: PlainRelayOptions): HomeRelayOptions {
  return { ...withEgress(options), ...(bypass === undefined ? {} : { bypass: withEgress(bypass) }) }
}

function withPlainEgress<T extends { readonly egress?: string | EgressProxy }>({ egress, ...rest }: T) {
  if (egress === undefined) return rest
  return { ...rest, egress: typeof egress === 'string' ? egress : { ...egress, url: egress.url.href } }
}

function withEgress<T extends { readonly egress?: string | PlainEgressProxy }>({ egress, ...rest }: T) {
  if (egress === undefined) return rest
  return { ...rest, egress: typeof egress === 'string' ? egress : { ...egress, url: new URL(egress.url) } }
}
