// A server of the gateway on its address.

import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { ListenAddress } from '../config/config-schema.js'
import { Guard } from '../guard.js'

/**
 * Resolves with the bound port.
 * @param onFailure takes what fails later, which is no reason to end: a process may be out of descriptors for a moment
 */
export function listen(
  server: Server,
  { host, port }: ListenAddress,
  onFailure: (error: Error) => void,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const guard = new Guard(reject)
    const stop = guard.once(server, 'error', reject)
    const onListening = () => {
      stop()
      guard.on(server, 'error', onFailure)
      resolve((server.address() as AddressInfo).port)
    }
    guard.once(server, 'listening', onListening)
    server.listen({ host, port })
  })
}
