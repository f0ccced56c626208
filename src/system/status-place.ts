// Where a relay's status socket lies: in a folder of its own that only its user may enter, for the rest of the relay's folder
// is open to children of other users.

import { join } from 'node:path'
import { asUpstreamProxyError, UpstreamProxyError } from '../errors.js'
import type { Logger } from '../log.js'
import { fitsSocketPath } from '../runtime/socket-path.js'
import { PrivateDirectory } from './private-directory.js'

const FOLDER = 'status'
const FILE = 'socket'

/** Where the socket of a folder of ours lies, if it has one. */
export function statusSocketIn(folder: string): string {
  return join(folder, FOLDER, FILE)
}

/**
 * The path of the socket: in `directory`, or where that lies too deep for a socket (unix(7)), in a folder of its own in /tmp,
 * which `keep` gets to remove it. Undefined after a warning when neither can be had: the relay goes on without.
 */
export function placeStatusSocket(
  directory: PrivateDirectory,
  keep: (folder: PrivateDirectory) => void,
  logger: Logger,
): string | undefined {
  try {
    if (fitsSocketPath(statusSocketIn(directory.path))) return join(directory.makeSecretFolder(FOLDER), FILE)
    const short = new PrivateDirectory('/tmp')
    keep(short)
    return join(short.makeSecretFolder(FOLDER), FILE)
  } catch (error) {
    const { message } = asUpstreamProxyError(error, 'status-unavailable', 'there is no place for the status socket')
    logger.warn(new UpstreamProxyError('status-unavailable', `the status socket: ${message}`))
    return undefined
  }
}
