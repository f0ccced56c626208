// Where the relay runs: in the program's own thread, or in one of its own, so that a program that blocks its event loop does
// not block the tunnels. doc/worker-thread.md has the figures behind the default.

import { asUpstreamProxyError, UpstreamProxyError } from '../errors.js'
import type { Logger } from '../log.js'
import type { RelayHome } from './relay-home.js'
import { RelayThread } from './relay-thread.js'

/** `worker`: the relay has a thread of its own. `main`: it runs in the thread that starts it. */
export type RelayThreadChoice = 'worker' | 'main'

/** On both runtimes: a program that blocks for 200 ms of every 250 holds up none of its tunnels, for 6 to 14 MiB. */
export const DEFAULT_THREAD: RelayThreadChoice = 'worker'

/**
 * Makes a home; in this thread too where there cannot be another one, which is said in the log. What comes of it never
 * rejects.
 * @throws {UpstreamProxyError} `config-invalid` when `choice` is neither
 */
export function openRelayHome(choice: RelayThreadChoice = DEFAULT_THREAD, logger: Logger): Promise<RelayHome> {
  switch (choice) {
    case 'worker':
      return RelayThread.start(logger).catch((error: unknown) => {
        const { message } = asUpstreamProxyError(error, 'thread-ended', 'no thread can be started')
        logger.info(`the relay runs in the main thread: ${message}`)
        return openLocalHome(logger)
      })
    case 'main':
      return openLocalHome(logger)
    default:
      throw new UpstreamProxyError('config-invalid', 'thread is neither worker nor main')
  }
}

/** Its code is loaded only here: a program whose relay has a thread does not need it. */
async function openLocalHome(logger: Logger): Promise<RelayHome> {
  const { LocalHome } = await import('./local-home.js')
  return new LocalHome(logger)
}
