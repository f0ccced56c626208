// The one error class, and the closed list of everything that can go wrong, with the HTTP status that a client sees
// when it happens to its CONNECT. Foreign errors are mapped to a code where they cross our border, by their own code,
// never by their text. Nothing here may hold the session token: an error that could quote it drops its cause.

import { constants } from 'node:os'

interface CodeFacts {
  /** Status of the answer to a CONNECT (RFC 9110, section 15); undefined where no client ever sees the code. */
  readonly status?: number
  /** Error type of the Proxy-Status field (RFC 9209, section 2.3). */
  readonly proxyError?: string
  /** Whether the same request may succeed a moment later. */
  readonly retryable?: boolean
  /** The next thing to do. */
  readonly hint: string
}

/** Every code, in the order in which a start-up and then a tunnel can meet it. */
export const ERROR_CODES = {
  // Start-up. Any of these leaves the proxy off, unless it is marked as a warning.
  'guard-off': { hint: 'set CLAUDE_CODE_REMOTE=1 and CCR_UPSTREAM_PROXY_ENABLED=1 to turn the proxy on' },
  'config-invalid': { hint: 'correct the option or variable that the message names' },
  'variable-unknown': { hint: 'correct the name of the variable, or take it away (a warning)' },
  'addon-unavailable': {
    hint: 'install the package with its prebuilds/ folder on a supported platform, or build them with npm run prebuild',
  },
  'harden-failed': {
    hint: 'allow prctl(2) and prlimit(2) in the seccomp profile of the container, and let it have /proc',
  },
  'process-traced': { hint: 'start the process without strace, gdb or another tracer' },
  'debugger-open': { hint: 'start the process without --inspect and without NODE_OPTIONS that open the inspector' },
  'dump-enabled': {
    hint: 'start the process without options that write heap snapshots or TLS keys, NODE_OPTIONS included',
  },
  'debug-output': { hint: 'unset NODE_DEBUG and BUN_CONFIG_VERBOSE_FETCH: they would print the token' },
  'working-directory-unsafe': {
    hint: 'start Bun in another folder, or with --config=/dev/null --no-env-file: files of the working directory decide here',
  },
  'inspection-allowed': {
    hint: 'unset CCR_UPSTREAM_PROXY_DANGEROUSLY_ALLOW_INSPECTION unless you are debugging this very package (a warning)',
  },
  'hardening-unsupported': {
    hint: 'only Linux can hide the process memory; elsewhere keep the agent under another user',
  },
  'token-missing': { hint: 'mount the session token, or name its file in CCR_SESSION_TOKEN_PATH' },
  'token-unreadable': { hint: 'make the token file readable for the user that runs this process' },
  'token-call-denied': { hint: 'allow openat(2) and statx(2) in the seccomp profile of the container' },
  'token-linked': {
    hint: 'mount a copy: what Kubernetes mounts of a Secret is a link, and deploy/agent-pod.yaml copies what it leads to',
  },
  'token-unsafe': { hint: 'write the token as a regular file of one link, owned by this user or root, mode 0600' },
  'token-malformed': { hint: 'the token file holds one line of visible ASCII characters, at most 16 KiB' },
  'token-empty': {
    hint: 'write the token again: it was not written yet, or an earlier relay took it and could not remove the emptied file',
  },
  'token-exposed': { hint: 'write the token file with mode 0600, a copy under umask 077 (a warning)' },
  'token-not-unlinked': {
    hint: 'mount a writable folder with the token file in it, not the file alone, or remove it from outside (a warning)',
  },
  'token-not-renewed': {
    hint: 'check what writes the new token: the gateway does not take it, or cannot be asked; the old one stays in use (a warning)',
  },
  'ca-timeout': { hint: 'check the way to the gateway: the CA download did not finish in time', retryable: true },
  'gateway-silent': {
    hint: 'check the way to the gateway; the relay goes on trying, as ccr-upstream-proxy status shows, and env has its environment (a warning)',
    retryable: true,
  },
  'ca-refused': { hint: 'check CCR_UPSTREAM_PROXY_CA_PATH: the gateway does not serve its CA certificate there' },
  'ca-redirected': { hint: 'name the final address of the gateway: redirects to another origin are not followed' },
  'ca-invalid': { hint: 'the gateway must serve PEM certificates with CA:TRUE that are valid now' },
  'ca-questionable': {
    hint: 'let the gateway have a CA that all clients accept: ccr-upstream-gateway ca init makes one (a warning)',
  },
  'ca-not-renewed': {
    hint: 'check the way to the gateway: its CA expires soon, and a newer one could not be fetched (a warning)',
    retryable: true,
  },
  'clock-skew': {
    status: 502,
    proxyError: 'tls_certificate_error',
    hint: "set this machine's clock (date -u): by it, a certificate of the gateway is not valid yet, or the gateway's own clock differs",
  },
  'no-proxy-refused': { hint: 'write NO_PROXY entries as host, .host, address or IPv4 network (a warning)' },
  'system-bundle-missing': {
    hint: 'install ca-certificates, or name the bundle in CCR_SYSTEM_CA_BUNDLE (a warning: only the gateway is trusted)',
  },
  'file-unusable': {
    hint: 'let the path that the message names lead to a regular file that this user can read (a warning)',
  },
  'certificate-skipped': { hint: 'remove the broken certificate from the file that the message names (a warning)' },
  'bundle-unwritable': { hint: 'make the temporary directory (TMPDIR) writable' },
  'disk-full': {
    hint: 'make room where the temporary directory (TMPDIR) lies, or name another one: the files of a relay take up to 2 MiB',
  },
  'files-not-removed': {
    hint: 'remove what the message names from outside: a child has changed it so that this user cannot (a warning)',
  },
  'not-root': { hint: "run it as root, or name an image's tree of your own with --root" },
  'journal-invalid': {
    hint: 'the journal in /var/lib/ccr-upstream-proxy was damaged: restore it, or undo by hand what it lists',
  },
  'store-unwritable': { hint: 'check the path that the message names: what lies there cannot be read or written' },
  'store-update-failed': {
    hint: "run the distribution's update command by hand to see what it says, then the same command again",
  },
  'store-changed': {
    hint: 'somebody has changed it since install-ca: take the CA out by hand, then run uninstall-ca again',
  },
  'policy-invalid': { hint: 'correct the policy file that the message names, or remove it' },
  'keytool-missing': { hint: 'install a JDK with keytool, or name one in JAVA_HOME' },
  'keytool-failed': { hint: "check that the keystore opens with the JDK's own password, changeit" },
  'listen-failed': { hint: 'free the port, or leave the choice to the system with port 0' },
  'thread-ended': {
    hint: 'start the program again; if this comes again, keep the relay in the main thread with thread: main, and report it',
  },
  'tunnel-log-failed': {
    hint: 'check the path of the tunnel log, its owner and the space on its disk; tunnels go on without it (a warning)',
  },
  'status-unavailable': {
    hint: 'see that the process of the relay is not stopped; its status socket needs a temporary directory with a short path (a warning)',
  },
  'status-busy': { hint: 'ask again in a moment: too many others are asking', retryable: true },
  'relay-record-damaged': {
    hint: 'start the relay again: something has changed the file by which other commands find it',
  },
  'relay-not-found': { hint: 'start one with ccr-upstream-proxy relay, as the same user and with the same TMPDIR' },
  'command-not-found': {
    hint: 'check the name of the command, PATH, and the interpreter that the first line of a script names',
  },
  'command-not-runnable': {
    hint: "make it an executable file of this machine's kind, a script with a #! line; its arguments may also be too long",
  },
  'internal-error': {
    status: 500,
    proxyError: 'proxy_internal_error',
    hint: 'this is a defect of ccr-upstream-proxy: report it with the message',
  },

  // What only doctor finds.
  'ptrace-capable': {
    hint: 'drop CAP_SYS_PTRACE (docker run --cap-drop SYS_PTRACE): who has it sees into every process (a warning)',
  },
  'kernel-vulnerable': {
    hint: 'update the kernel, or set kernel.yama.ptrace_scope to 2: this one may let others take open files (a warning)',
  },
  'loopback-unreachable': {
    hint: 'bring the loopback interface up (ip link set lo up): clients reach the relay on 127.0.0.1',
  },
  'gateway-connect-refused': {
    hint: "see the gateway's log and its rules for this host: it refused the tunnel and gave no code",
  },
  'round-trip-failed': {
    hint: 'the gateway opened the tunnel, but the host behind it did not answer over TLS: check that it is up',
  },
  'target-untrusted': {
    hint: 'the certificate behind the tunnel is not in the bundle: let the gateway intercept the host, or name its root in CCR_SYSTEM_CA_BUNDLE',
  },
  'client-failed': { hint: 'see what the client needs in doc/clients.md' },
  'client-not-proxied': { hint: 'see which variable tells the client of the proxy in doc/clients.md' },
  'client-timeout': { hint: 'run the client by hand under ccr-upstream-proxy run: it took too long (a warning)' },

  // Refusals of what a client sent.
  'bad-request': { status: 400, proxyError: 'http_request_error', hint: 'send a well-formed HTTP/1.1 CONNECT request' },
  'bad-authority': {
    status: 400,
    proxyError: 'http_request_error',
    hint: 'send CONNECT host:port with a decimal port',
  },
  'method-not-allowed': {
    status: 405,
    proxyError: 'http_request_denied',
    hint: 'use https:// addresses: this proxy only carries CONNECT tunnels, so leave HTTP_PROXY unset',
  },
  'head-timeout': { status: 408, proxyError: 'http_request_error', hint: 'send the whole request head at once' },
  'head-too-large': { status: 431, proxyError: 'http_request_error', hint: 'send fewer or shorter header fields' },
  'http-version-unsupported': { status: 505, proxyError: 'http_request_error', hint: 'speak HTTP/1.1 to this proxy' },
  'too-many-tunnels': {
    status: 503,
    proxyError: 'connection_limit_reached',
    retryable: true,
    hint: 'close idle connections, or raise the limit of tunnels, or of open files (ulimit -n)',
  },
  'descriptors-exhausted': {
    status: 503,
    proxyError: 'connection_limit_reached',
    retryable: true,
    hint: 'raise the limit of open files (ulimit -n) of the process',
  },
  'shutting-down': {
    status: 503,
    proxyError: 'proxy_internal_response',
    retryable: true,
    hint: 'the proxy is being closed',
  },

  // Failures between the relay and the gateway, before the gateway answered.
  'token-unavailable': {
    status: 500,
    proxyError: 'proxy_configuration_error',
    retryable: true,
    hint: 'see why the TokenSource that startRelay() was given throws, or lends what is not visible ASCII',
  },
  'gateway-dns-failed': {
    status: 502,
    proxyError: 'dns_error',
    retryable: true,
    hint: 'check the name in CCR_UPSTREAM_PROXY_URL and the DNS of the container',
  },
  'gateway-unreachable': {
    status: 502,
    proxyError: 'connection_refused',
    retryable: true,
    hint: 'check that the gateway is up and reachable from the container',
  },
  'egress-unreachable': {
    status: 502,
    proxyError: 'destination_unavailable',
    retryable: true,
    hint: "check the container's own HTTPS_PROXY: nothing answers there",
  },
  'egress-timeout': {
    status: 504,
    proxyError: 'connection_timeout',
    retryable: true,
    hint: "check the container's own HTTPS_PROXY: it accepts connections but does not answer",
  },
  'egress-authentication-required': {
    status: 502,
    proxyError: 'http_request_denied',
    hint: "put the egress proxy's user name and password into the container's own HTTPS_PROXY",
  },
  'egress-refused': {
    status: 502,
    proxyError: 'http_request_denied',
    hint: "let the egress proxy allow CONNECT to the gateway, or name the gateway in the container's own NO_PROXY",
  },
  'gateway-tls-failed': {
    status: 502,
    proxyError: 'tls_certificate_error',
    hint: 'name the CA of the gateway in CCR_UPSTREAM_PROXY_GATEWAY_CA, or check its certificate and the clock',
  },
  'gateway-dial-timeout': {
    status: 504,
    proxyError: 'connection_timeout',
    retryable: true,
    hint: 'check the way to the gateway: it did not accept the WebSocket in time',
  },
  'gateway-token-refused': {
    status: 502,
    proxyError: 'http_upgrade_failed',
    hint: 'the gateway refused the session token: it may have expired or belong to another gateway',
  },
  'gateway-overloaded': {
    status: 503,
    proxyError: 'http_upgrade_failed',
    retryable: true,
    hint: 'the gateway asks to slow down: try again later',
  },
  'gateway-upgrade-refused': {
    status: 502,
    proxyError: 'http_upgrade_failed',
    hint: 'check CCR_UPSTREAM_PROXY_TUNNEL_PATH and that no middlebox strips the WebSocket upgrade',
  },
  'gateway-protocol-error': {
    status: 502,
    proxyError: 'http_protocol_error',
    hint: 'the gateway does not speak the tunnel protocol: check its version',
  },
  'gateway-closed': {
    status: 502,
    proxyError: 'connection_terminated',
    retryable: true,
    hint: 'the gateway closed the tunnel before it answered: see its log',
  },
  'gateway-answer-timeout': {
    status: 504,
    proxyError: 'http_response_timeout',
    retryable: true,
    hint: 'the gateway did not answer the CONNECT in time: the destination may be slow or filtered',
  },

  // Targets of NO_PROXY, which go past the gateway.
  'proxy-loop': {
    status: 502,
    proxyError: 'proxy_loop_detected',
    hint: "this is the relay's own address: ask for the host that is really wanted",
  },
  'target-dns-failed': {
    status: 502,
    proxyError: 'dns_error',
    retryable: true,
    hint: 'NO_PROXY names this host, so the container itself must be able to resolve it: check its name and DNS',
  },
  'target-unreachable': {
    status: 502,
    proxyError: 'destination_unavailable',
    retryable: true,
    hint: 'NO_PROXY names this host, so the container itself must be able to reach it: check that it is up',
  },
  'target-timeout': {
    status: 504,
    proxyError: 'connection_timeout',
    retryable: true,
    hint: 'NO_PROXY names this host, so the container itself must be able to reach it: no answer came in time',
  },

  // Ends of a tunnel that was open; the client sees a reset, or a FIN where the end is a normal one.
  'tunnel-lost': { hint: 'the gateway or the network broke the tunnel: try the request again' },
  'tunnel-expired': { hint: 'nothing moved for longer than the limit of the tunnel' },
} as const satisfies Record<string, CodeFacts>

export type ErrorCode = keyof typeof ERROR_CODES

/** What the list says of a code. */
export function factsOf(code: ErrorCode): CodeFacts {
  return ERROR_CODES[code]
}

/** Every error of this package. `side` tells whether this machine or the far end is at fault. */
export class UpstreamProxyError extends Error {
  override readonly name = 'UpstreamProxyError'
  /** Stable; doc/errors.md says what each means. */
  readonly code: ErrorCode
  /** The next thing to do, for a person. */
  readonly hint: string
  /** Whether this machine is at fault, or the far end. */
  readonly side: 'local' | 'remote'
  /** Milliseconds for which the far end asks to be left alone; undefined where it does not say. */
  readonly retryAfterMs: number | undefined

  constructor(
    code: ErrorCode,
    message: string,
    options: { side?: 'local' | 'remote'; retryAfterMs?: number | undefined; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.hint = factsOf(code).hint
    this.side = options.side ?? 'local'
    this.retryAfterMs = options.retryAfterMs
  }
}

/** The `code` that Node, libuv and OpenSSL put on their errors; '' when there is none. */
export function systemCode(error: unknown): string {
  if (typeof error !== 'object' || error === null) return ''
  const { code } = error as { code?: unknown }
  return typeof code === 'string' ? code : ''
}

/** The name of a positive errno of this system: `EACCES`. */
export function errnoName(errno: number): string {
  return Object.entries(constants.errno).find(([, number]) => number === errno)?.[0] ?? `errno ${errno}`
}

/** An error of ours as it is; any other one as `code`, named by its system code alone. */
export function asUpstreamProxyError(error: unknown, code: ErrorCode, what: string): UpstreamProxyError {
  if (error instanceof UpstreamProxyError) return error
  const detail = systemCode(error) || (error instanceof Error ? error.name : typeof error)
  return new UpstreamProxyError(code, `${what} (${detail})`)
}
