// Which clients are gone for good. A FIN alone does not tell: curl closes its socket without a word of TLS, and a program that
// has sent all it has and waits for the answer sends the same FIN. The system's table of sockets does: one that no process
// has open any more is not in it, or has no inode there (proc_net_tcp in the kernel's documentation).
//
// The table has every socket of the machine, so a look costs what there is, 50 ms for a thousand tunnels: it is read beside the
// event loop, and for a small part of the time. It is not read at one moment, so only who is missing twice is gone.

import { readFile } from 'node:fs/promises'

/** IPv4, and what a client with a socket for IPv6 has connected to 127.0.0.1. */
const SOCKET_TABLES = ['/proc/net/tcp', '/proc/net/tcp6']

/** Of the time at most one part in so many goes into looks. */
const REST_FACTOR = 20

/** Looks into the table, one look at a time. */
export class GoneClients {
  #missing: ReadonlySet<number> = new Set()
  #isLooking = false
  #restsUntil = Number.NEGATIVE_INFINITY

  /**
   * Those of `clientPorts` whose client has closed its socket; none when it is too soon for a look. `now` is monotonic
   * milliseconds.
   */
  async find(relayPort: number, clientPorts: ReadonlySet<number>, now: () => number): Promise<ReadonlySet<number>> {
    const startedAt = now()
    if (this.#isLooking || startedAt < this.#restsUntil) return new Set()
    this.#isLooking = true
    const missing = findMissing(await readTables(), relayPort, clientPorts)
    this.#isLooking = false
    this.#restsUntil = now() + (now() - startedAt) * REST_FACTOR
    const gone = new Set([...missing].filter((port) => this.#missing.has(port)))
    this.#missing = missing
    return gone
  }
}

/** A table that is not there has nobody in it. */
function readTables(): Promise<readonly string[]> {
  return Promise.all(SOCKET_TABLES.map((table) => readFile(table, 'latin1').catch(() => '')))
}

/**
 * Those of `clientPorts` that no process has open towards `relayPort`. Nobody where the tables do not show the relay's own port:
 * then they say nothing. A connection itself need not be in them: one that was reset no longer is.
 *
 * A line is `sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode …`, addresses as
 * `hex:port in hex`.
 */
export function findMissing(
  tables: readonly string[],
  relayPort: number,
  clientPorts: ReadonlySet<number>,
): ReadonlySet<number> {
  const relay = relayPort.toString(16).toUpperCase().padStart(4, '0')
  if (!tables.some((table) => new RegExp(`:${relay} [0-9A-F]+:[0-9A-F]{4} `).test(table))) return new Set()
  const missing = new Set(clientPorts)
  const client = new RegExp(`:([0-9A-F]{4}) [0-9A-F]+:${relay} (?:\\S+ +){6}(\\d+)`, 'g')
  for (const table of tables) {
    for (const [, port = '', inode] of table.matchAll(client))
      if (inode !== '0') missing.delete(Number.parseInt(port, 16))
  }
  return missing
}
