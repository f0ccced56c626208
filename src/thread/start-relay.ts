// startRelay(): the relay alone, for programs that have token and CA already.

import { createLogger } from '../log.js'
import type { Relay, RelayOptions } from '../relay/relay.js'
import { DEFAULT_THREAD, openRelayHome, type RelayThreadChoice } from './open-relay-home.js'

/** What startRelay() takes. */
export interface StartRelayOptions extends RelayOptions {
  /**
   * Where the relay runs. `worker`: in a thread of its own, so that tunnels go on while the program blocks its event loop;
   * a token given as text is copied to it. `main`: in the thread that calls, which takes less memory and starts sooner.
   * `worker` unless given, but `main` for a token that is lent out by functions, for those stay in their thread. Where no
   * thread can be started it is `main` too, and the log says so. doc/worker-thread.md has the figures.
   */
  readonly thread?: RelayThreadChoice
}

/**
 * Starts a relay.
 * @throws {UpstreamProxyError} `config-invalid` or `listen-failed`; rarely `thread-ended`
 */
export async function startRelay(options: StartRelayOptions): Promise<Relay> {
  const { logger = createLogger('warn'), thread, ...rest } = options
  const choice = thread ?? (typeof options.token === 'string' ? DEFAULT_THREAD : 'main')
  const home = await openRelayHome(choice, logger)
  try {
    const trustedCertificates =
      rest.trustedCertificates ?? (choice === 'worker' ? await rootsOfThisThread() : undefined)
    return await home.listen(trustedCertificates === undefined ? rest : { ...rest, trustedCertificates })
  } catch (error) {
    await home.close(0)
    throw error
  }
}

/**
 * Another thread may have others: options of the runtime (--use-system-ca) and tls.setDefaultCACertificates() count for the
 * thread that they were said to. Undefined where the runtime does not tell them; there they are the same.
 */
async function rootsOfThisThread(): Promise<string | undefined> {
  const { getCACertificates } = (await import('node:tls')) as { getCACertificates?: (type: 'default') => string[] }
  return getCACertificates?.('default').join('\n')
}
