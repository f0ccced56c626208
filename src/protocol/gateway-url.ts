// Which addresses a gateway may have: the session token goes there, so it travels inside TLS or stays on this machine.

/** Whether `url` is `https:`/`wss:`, or `http:`/`ws:` on loopback (RFC 6761, section 6.3; RFC 1122, section 3.2.1.3). */
export function isGatewayUrl(url: URL): boolean {
  switch (url.protocol) {
    case 'https:':
    case 'wss:':
      return true
    case 'http:':
    case 'ws:':
      return url.hostname === 'localhost' || url.hostname === '[::1]' || /^127(?:\.[0-9]{1,3}){3}$/.test(url.hostname)
    default:
      return false
  }
}
