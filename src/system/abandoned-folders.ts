// Folders of relays that were killed: nobody has removed them, and a small disk is soon full of them. The next start of the same
// user does. Whatever cannot be known to have ended stays.

import { lstatSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { setTimeout as passed } from 'node:timers/promises'
import { UpstreamProxyError } from '../errors.js'
import type { Logger } from '../log.js'
import { hasListener } from '../runtime/status-socket.js'
import { ownFolders, readOwner } from './private-directory.js'
import { isGone, markOfThisProcess, type ProcessMark } from './process-mark.js'
import { removeTree } from './remove-tree.js'
import { statusSocketIn } from './status-place.js'

/** Milliseconds from bind(2) to listen(2), with much to spare: between them a socket refuses everybody. */
const LISTEN_WAIT_MS = 100

/** Removes them, and warns of what stays of them. Any number of starts may do it at once. Never rejects. */
export async function removeAbandonedFolders(logger: Logger): Promise<void> {
  const here = markOfThisProcess()
  if (here === undefined) return
  const folders = [...new Set([tmpdir(), '/tmp'])].flatMap(ownFolders)
  await Promise.all(
    folders.map(async (folder) => {
      if (!(await isAbandoned(folder, here))) return
      const left = removeTree(folder)
      if (left !== undefined)
        logger.warn(new UpstreamProxyError('files-not-removed', `${left.path} could not be removed (${left.code})`))
    }),
  )
}

/**
 * Of another boot, the folder may be on a disk that another machine shares. Of another PID namespace, it may be of a container
 * that shares the volume: its process cannot be seen, but its socket can.
 */
async function isAbandoned(folder: string, here: ProcessMark): Promise<boolean> {
  const owner = readOwner(folder)
  if (owner === undefined || owner.boot !== here.boot) return false
  return owner.namespace === here.namespace ? isGone(owner) : isSilent(statusSocketIn(folder))
}

async function isSilent(socket: string): Promise<boolean> {
  if (!isSocket(socket) || (await hasListener(socket))) return false
  await passed(LISTEN_WAIT_MS)
  return isSocket(socket) && !(await hasListener(socket))
}

function isSocket(path: string): boolean {
  try {
    return lstatSync(path).isSocket()
  } catch {
    return false
  }
}
