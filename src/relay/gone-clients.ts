// Which clients are gone for good. A FIN alone does not tell: curl closes its socket without a word of TLS, and a program that
// has sent all it has and waits for the answer sends the same FIN. The system's table of sockets does: one that no process
// has open any more is not in it, or has no inode there (proc_net_tcp in the kernel's documentation).

import { readFileSync } from 'node:fs'

/** IPv4, and what a client with a socket for IPv6 has connected to 127.0.0.1. */
const SOCKET_TABLES = ['/proc/net/tcp', '/proc/net/tcp6']

/**
 * Those of `clientPorts` whose client has closed its socket. Nobody where there is no such table, and nobody where it does not
 * show the relay's own port: then it says nothing. A connection itself need not be in it: one that was reset no longer is.
 */
export function findGoneClients(relayPort: number, clientPorts: ReadonlySet<number>): ReadonlySet<number> {
  const sockets = SOCKET_TABLES.flatMap(readOpenSockets)
  if (!sockets.some(({ localPort }) => localPort === relayPort)) return new Set()
  const present = new Set(
    sockets.filter(({ remotePort }) => remotePort === relayPort).map(({ localPort }) => localPort),
  )
  return new Set([...clientPorts].filter((port) => !present.has(port)))
}

interface OpenSocket {
  readonly localPort: number
  readonly remotePort: number
}

function readOpenSockets(table: string): readonly OpenSocket[] {
  try {
    return readFileSync(table, 'latin1').split('\n').slice(1).flatMap(parseOpenSocket)
  } catch {
    return []
  }
}

/** `sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode …`, addresses as `hex:port in hex`. */
function parseOpenSocket(line: string): readonly OpenSocket[] {
  const [, local = '', remote = '', , , , , , , inode = '0'] = line.trim().split(/\s+/)
  return inode === '0' ? [] : [{ localPort: portOf(local), remotePort: portOf(remote) }]
}

function portOf(address: string): number {
  return Number.parseInt(address.slice(address.indexOf(':') + 1), 16)
}
