// The help texts. They are the contract of the command line: README and tests hold them against the program. No line is
// longer than the 80 columns of a terminal.

export const MAIN_HELP = `ccr-upstream-gateway: terminates the tunnels of ccr-upstream-proxy, injects
headers, forwards, audits

Usage:
  ccr-upstream-gateway serve --config FILE
                        run the gateway until SIGTERM or SIGINT
  ccr-upstream-gateway check --config FILE
                        check a config and everything that it names
  ccr-upstream-gateway token new
                        make a session token
  ccr-upstream-gateway token hash
                        hash a token for the config
  ccr-upstream-gateway ca init --out DIR
                        make the interception CA
  ccr-upstream-gateway ca server …
                        make a server certificate for the gateway itself

Options:
  -h, --help            show this help; with a command, the command's
      --version         show the version

Exit codes: 0 success, 1 failure, 2 wrong usage.
`

export const SERVE_HELP = `Usage: ccr-upstream-gateway serve --config FILE

Runs the gateway until SIGTERM or SIGINT; tunnels then have 10 seconds to end,
and a second signal cuts them at once. When it listens, one line on stderr says
where. The audit goes where the config says, by default to stdout. SIGHUP takes
a changed config, all of it or nothing, and opens the audit's file anew.

Options:
  -c, --config FILE     the config, YAML or JSON
  -h, --help            show this help

Exit codes: 0 ended by a signal, 1 the config is wrong or the gateway cannot
start, 2 wrong usage.
`

export const CHECK_HELP = `Usage: ccr-upstream-gateway check --config FILE

Checks a config and everything that it names: certificates, keys, secrets, whose
commands are run. Prints each problem as FILE:LINE: KEY: what is allowed.
Listens on nothing.

Options:
  -c, --config FILE     the config, YAML or JSON
  -h, --help            show this help

Exit codes: 0 the config is good, 1 it is not, 2 wrong usage.
`

export const TOKEN_HELP = `Usage: ccr-upstream-gateway token new [--session ID]
       ccr-upstream-gateway token hash

  new    makes a random token and prints it on stdout; on stderr the lines for
         the config, with its hash
  hash   reads a token from stdin and prints its SHA-256 for tokenSha256

Options:
      --session ID      the session's id in those lines (default: session)
  -h, --help            show this help

Exit codes: 0 done, 1 what came on stdin is no token, 2 wrong usage.
`

export const CA_HELP = `Usage: ccr-upstream-gateway ca init --out DIR [--name CN] [--key ecdsa|rsa]
                                    [--days N] [--force]
       ccr-upstream-gateway ca server --ca DIR --name HOST [--name HOST …]
                                      --out DIR [--days N] [--force]

  init     makes a CA: DIR/ca.pem (0644) and DIR/ca.key (0600)
  server   makes a certificate for the gateway's own TLS, signed by the CA in
           --ca: DIR/server.pem and DIR/server.key

Options:
      --out DIR         where to write; made when it is not there
      --name NAME       init: the CA's common name
                        (default: ccr-upstream-gateway CA)
                        server: a host name or address of the gateway; may be
                        given more than once
      --ca DIR          server: the folder with ca.pem and ca.key
      --key TYPE        init: the kind of key, ecdsa or rsa (default: ecdsa);
                        rsa is for clients that cannot verify ECDSA
      --days N          how long it is valid, 1 to 3650 (default: init 365,
                        server 90)
      --force           replace files that are there already
  -h, --help            show this help

Exit codes: 0 done, 1 a file cannot be read or written, or is there already,
2 wrong usage.
`
