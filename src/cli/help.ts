// The program's own help, word for word what the README shows. No line is longer than the 80 columns of a terminal.

export const USAGE = `Usage: ccr-upstream-proxy COMMAND [OPTION…]

Carries HTTPS tunnels of this machine's tools to a gateway that injects
credentials.

Commands:
  run [--require] [--log FILE] [--] CMD [ARG…]
                        start the relay, run CMD with its environment, end with
                        CMD's code
  relay [--json] [--port N] [--log FILE]
                        run the relay until SIGTERM; print its environment first
  env [--format F] [--port N]
                        print the environment of a relay that is running
  status [--json] [--port N]
                        say how a relay that is running does
  top [--port N] [--interval S]
                        the same, live in the terminal
  doctor [--json] [--url URL] [--client NAME]…
                        check every step and say what to do about what fails
  install-ca [OPTION…]  make this machine, or an image's tree, trust the
                        gateway's CA
  uninstall-ca [OPTION…]
                        take that back, to the byte

Options:
  -h, --help            show this help, or that of the command
      --version         show the version

Exit codes: 0 done, 1 a check or a store failed, 2 wrong usage,
3 the proxy stays off or no relay is running; run: CMD's own.
The configuration is read from the environment: see
ccr-upstream-proxy doctor --help.
`

export const RUN_USAGE = `Usage: ccr-upstream-proxy run [--require] [--log FILE] [--] CMD [ARG…]

Starts the relay, runs CMD with HTTPS_PROXY and the CA variables set, and ends
with CMD's exit code. Signals and the terminal are CMD's. When the proxy cannot
start, CMD runs without it after one warning. A gateway that is silent holds CMD
up for three seconds at most; the relay goes on trying, as status shows.

Options:
      --require         exit with 3 instead of running CMD without the proxy
      --log FILE        append a JSON line to FILE for each tunnel at its end
  -h, --help            show this help

Exit codes: CMD's own; 127 CMD was not found, 126 it cannot be run,
2 wrong usage, 3 with --require.
`

export const RELAY_USAGE = `Usage: ccr-upstream-proxy relay [--json] [--port N] [--log FILE]

Runs the relay until SIGTERM, SIGINT or SIGHUP; a second signal ends it at once.
The first line of standard output is the environment for its clients: export
commands for a shell, or one JSON object {"enabled":true,"port":N,"env":{…}}.
When the proxy stays off, the line is {"enabled":false,"code":…,"reason":…} and
the exit code 3.

Options:
      --json            print the environment as JSON
      --port N          listen on port N of 127.0.0.1 (default: a free one)
      --log FILE        append a JSON line to FILE for each tunnel at its end
  -h, --help            show this help

Exit codes: 0 ended by a signal, 2 wrong usage, 3 the proxy stays off.
`

export const ENV_USAGE = `Usage: ccr-upstream-proxy env [--format F] [--port N]

Prints the environment of this user's relay, the one that was started last, as
changes to the environment at hand: what that has of its own is extended.
A shell takes it with: eval "$(ccr-upstream-proxy env)"

Options:
      --format F        sh (default), fish, json, dotenv, or github for the file
                        that GITHUB_ENV names, which takes all but NODE_OPTIONS
      --port N          of the relay on port N
  -h, --help            show this help

Exit codes: 0 done, 2 wrong usage, 3 no relay is running, or its gateway has
been silent since it started.
`

export const STATUS_USAGE = `Usage: ccr-upstream-proxy status [--json] [--port N]

Says how this user's relay does, the one that was started last: tunnels by host,
bytes, latencies by stage, refusals by code, WebSockets that are open ahead. It
is asked through a socket that only its own user can reach.

Options:
      --json            print the report as one JSON object, which
                        doc/observability.md describes
      --port N          of the relay on port N
  -h, --help            show this help

Exit codes: 0 done, 2 wrong usage, 3 no relay is running, or it cannot be asked.
`

export const TOP_USAGE = `Usage: ccr-upstream-proxy top [--port N] [--interval S]

Shows what status says, again and again, with rates per second; q ends it.
Without a terminal, use status.

Options:
      --port N          of the relay on port N
      --interval S      seconds between two looks, 0.1 to 3600 (default: 1)
  -h, --help            show this help

Exit codes: 0 ended with q, 2 wrong usage or no terminal, 3 no relay is running,
or it is gone.
`

export const DOCTOR_USAGE = `Usage: ccr-upstream-proxy doctor [--json] [--url URL] [--client NAME]…

Goes through every step of the start, the container's hardening, the gateway's
CA, a request through a real tunnel, and every client that is installed, tried
for real; says what it saw, which hop is at fault and what to do next. The token
file is read but not removed; where a relay has taken it, that relay is what is
examined. Ends within 15 seconds; what there was no time for is skipped.

Options:
      --json            print {"ok":…,"checks":[{"id","status","code"?,"hop"?,
                        "seen"?,"hint"?,"stages"?,"group"}]}, which
                        doc/doctor.md describes
      --url URL         the https:// address that is asked for through the
                        tunnel (default: the gateway's own)
      --client NAME     try this client, and others only if they are named too:
                        each has all the time that is left. May be repeated
                        (default: all that are installed)
  -h, --help            show this help

Environment:
  CLAUDE_CODE_REMOTE, CCR_UPSTREAM_PROXY_ENABLED
                        the guard: both must be 1, true, yes or on
  CCR_UPSTREAM_PROXY_URL
                        the gateway's base, https:// (or http:// on loopback);
                        then ANTHROPIC_BASE_URL, then https://api.anthropic.com
  CCR_UPSTREAM_PROXY_TUNNEL_PATH
                        joined to the base (default: /upstreamproxy/ws)
  CCR_UPSTREAM_PROXY_CA_PATH
                        joined to the base (default: /upstreamproxy/ca-cert)
  CCR_UPSTREAM_PROXY_GATEWAY_CA
                        PEM file, trusted for the gateway itself besides the
                        system's
  CLAUDE_CODE_REMOTE_SESSION_ID
                        user name of the tunnel's credential (default: session)
  CCR_SESSION_TOKEN_PATH
                        the token file (default: /run/ccr/session_token)
  CCR_SYSTEM_CA_BUNDLE  the system's CA bundle (default: the distribution's)
  CCR_UPSTREAM_PROXY_NO_PROXY
                        more hosts, addresses and IPv4 networks for the clients'
                        NO_PROXY, between commas
  CCR_UPSTREAM_PROXY_NO_PROXY_DEFAULTS
                        what it has besides: all (private networks, Anthropic),
                        loopback, or a list (default: all)
  CCR_UPSTREAM_PROXY_ENV
                        how much clients get: contract, default or files
                        (default: files)
  CCR_UPSTREAM_PROXY_ENV_EXCEPT
                        variables to leave as they are, between commas
  CCR_UPSTREAM_PROXY_GIT_HTTPS
                        hosts whose SSH addresses git takes for HTTPS ones,
                        between commas
  CCR_UPSTREAM_PROXY_TUNNEL_LOG
                        file that gets a JSON line for each tunnel at its end
                        (default: none)
  CCR_UPSTREAM_PROXY_PING_SECONDS
                        seconds between pings to the gateway, for balancers
                        that cut what is silent (default: 20)
  CCR_UPSTREAM_PROXY_LOG
                        silent, error, warn, info or debug (default: warn)
  HTTPS_PROXY, NO_PROXY (either case)
                        the container's own egress proxy, on the way to the
                        gateway (default: none)

Exit codes: 0 no check failed, 1 a check failed, 2 wrong usage.
`

export const INSTALL_CA_USAGE = `Usage: ccr-upstream-proxy install-ca [--root DIR] [--ca-file FILE] [OPTION…]

For those who build images: makes every program trust the gateway's CA, those
included that read no variable: the distribution's store with its update
command, Java's keystores, and the policies of Chromium, Chrome and Firefox. The
CA is downloaded from the gateway; neither guard nor token is needed, but root
is. A journal in /var/lib/ccr-upstream-proxy has what was there before; a second
run changes nothing.

Options:
      --root DIR        work on the tree of an image instead of on this machine
      --ca-file FILE    take the CA from a PEM file instead of the gateway
      --only STORE[,STORE…]
                        of system, java, chromium and firefox only these
      --java-keystore PATH
                        this keystore, a path inside the root; auto: those of
                        the JDKs that are found. May be repeated (default: auto)
      --dry-run         say what would be done, and change nothing
      --json            print {"ok":…,"dryRun":…,"stores":[{"store","path"?,
                        "status","code"?,"seen"?,"hint"?}]}
  -h, --help            show this help

Each store is: installed, already there, not found, or failed.
Exit codes: 0 no store failed, 1 a store failed, or there is no CA,
2 wrong usage.
The gateway is configured by the environment: see
ccr-upstream-proxy doctor --help.
`

export const UNINSTALL_CA_USAGE = `Usage: ccr-upstream-proxy uninstall-ca [--root DIR] [OPTION…]

Takes back what install-ca did: every file, link, mode, owner and time is as
before. What somebody else has changed since is kept, and only the CA is taken
out of it. Needs neither the network nor the CA.

Options:
      --root DIR        work on the tree of an image instead of on this machine
      --dry-run         say what would be done, and change nothing
      --json            print {"ok":…,"dryRun":…,"stores":[{"store","status",
                        "code"?,"seen"?,"hint"?}]}
  -h, --help            show this help

Each store is: removed, or failed.
Exit codes: 0 nothing is left, 1 a store failed and stays in the journal,
2 wrong usage.
`
