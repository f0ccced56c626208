// How real servers read the paths of the corpus, asked directly: none reads one as another rule's than the gateway does.

import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { isInstalled, run } from '../support/cli-process.js'
import { freePort, listen } from '../support/listening.js'
import { startProgram } from '../support/program.js'
import { createTempDirectory, SharedScope } from '../support/temp-dir.js'
import { PATHS } from './path-corpus.js'
import '../support/watched-process.js'

/** What each server answers with, by the folder or route in which it finds itself. */
const ANSWERS = ['/admin', '/v1', '*'] as const

/** Starts a server with a route for each of ANSWERS; resolves with its port. */
type Start = (context: TestContext, folder: string) => Promise<number>

const NGINX = (port: number) => `
daemon off; master_process off; pid nginx.pid; error_log stderr;
events {}
http {
  access_log off; client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
  server {
    listen 127.0.0.1:${port};
    location = /admin { return 200 "reads /admin"; }
    location /admin/ { return 200 "reads /admin"; }
    location = /v1 { return 200 "reads /v1"; }
    location /v1/ { return 200 "reads /v1"; }
    location / { return 200 "reads *"; }
  }
}`

const GO = `package main

import (
	"fmt"
	"net"
	"net/http"
)

func main() {
	mux := http.NewServeMux()
	for pattern, name := range map[string]string{"/admin": "/admin", "/admin/": "/admin", "/v1": "/v1", "/v1/": "/v1", "/": "*"} {
		name := name
		mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "reads "+name) })
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println("port", listener.Addr().(*net.TCPAddr).Port)
	panic(http.Serve(listener, mux))
}
`

const JAVA = `
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;

public class Main {
  public static void main(String[] args) throws Exception {
    HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
    server.createContext("/", exchange -> {
      String path = exchange.getRequestURI().getPath();
      String name = "*";
      for (String prefix : new String[] {"/admin", "/v1"})
        if (path.equals(prefix) || path.startsWith(prefix + "/")) name = prefix;
      byte[] body = ("reads " + name).getBytes();
      exchange.sendResponseHeaders(200, body.length);
      exchange.getResponseBody().write(body);
      exchange.close();
    });
    server.start();
    System.out.println("port " + server.getAddress().getPort());
  }
}
`

/** Files in which those that serve a folder find themselves. */
function writeSite(folder: string): void {
  for (const [place, name] of [
    ['.', '*'],
    ['admin', '/admin'],
    ['v1', '/v1'],
  ] as const) {
    mkdirSync(join(folder, place), { recursive: true })
    for (const file of ['index.html', 'x']) writeFileSync(join(folder, place, file), `reads ${name}`)
  }
}

const SERVERS: Readonly<Record<string, { readonly program: readonly [string, ...string[]]; readonly start: Start }>> = {
  nginx: {
    program: ['/usr/sbin/nginx', '-v'],
    async start(context, cwd) {
      const port = await freePort()
      writeFileSync(join(cwd, 'nginx.conf'), NGINX(port))
      await startProgram(context, ['/usr/sbin/nginx', '-p', cwd, '-c', 'nginx.conf'], { ready: port, cwd })
      return port
    },
  },
  "Go's mux": {
    program: ['go', 'version'],
    async start(context, cwd) {
      writeFileSync(join(cwd, 'main.go'), GO)
      // Not `go run`, which leaves the server behind when it is stopped.
      const env = { PATH: process.env.PATH, HOME: cwd, GOCACHE: join(cwd, 'cache') }
      const { exitCode, stderr } = await run(context, 'go', ['build', '-o', 'server', 'main.go'], { cwd, env })
      assert.equal(exitCode, 0, stderr)
      return portOf(await startProgram(context, [join(cwd, 'server')], { ready: /port (\d+)/, cwd }))
    },
  },
  "Python's http.server": {
    program: ['python3', '--version'],
    async start(context, cwd) {
      writeSite(cwd)
      const command = ['python3', '-m', 'http.server', '--bind', '127.0.0.1', '0'] as const
      return portOf(await startProgram(context, [...command], { ready: /port (\d+)/, cwd }))
    },
  },
  "PHP's own server": {
    program: ['php', '--version'],
    async start(context, cwd) {
      writeSite(cwd)
      const port = await freePort()
      await startProgram(context, ['php', '-S', `127.0.0.1:${port}`], { ready: port, cwd })
      return port
    },
  },
  "Java's HttpServer": {
    program: ['java', '--version'],
    async start(context, cwd) {
      writeFileSync(join(cwd, 'Main.java'), JAVA)
      return portOf(await startProgram(context, ['java', 'Main.java'], { ready: /port (\d+)/, cwd }))
    },
  },
  "Node's URL, decoded": {
    program: ['node', '--version'],
    async start(context) {
      const server = createServer((request, response) => {
        const pathname = decodedPathname(request.url ?? '')
        if (pathname === undefined) response.writeHead(400)
        const prefix = ANSWERS.find((prefix) => pathname === prefix || pathname?.startsWith(`${prefix}/`))
        response.end(`reads ${prefix ?? '*'}`)
      })
      return (await listen(context, server)).port
    },
  },
}

function decodedPathname(target: string): string | undefined {
  try {
    return decodeURIComponent(new URL(`http://host${target}`).pathname)
  } catch {
    return undefined
  }
}

function portOf({ match }: { readonly match: readonly string[] }): number {
  return Number(match[1])
}

/** Where `path` led to; undefined when the server refused or redirected it, or found nothing. */
async function readingOf(port: number, path: string): Promise<string | undefined> {
  const socket = connect(port, '127.0.0.1')
  socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`)
  const answer = (await buffer(socket)).toString('latin1')
  return / 200 [\s\S]*\r\n\r\n[\s\S]*reads (\S+)/.exec(answer)?.[1]
}

const scope = new SharedScope()
for (const [name, { program, start }] of Object.entries(SERVERS)) {
  const [command, ...args] = program
  const skip = !(await isInstalled(scope, command, ...args)) && `${command} is not installed`
  test(`${name} reads no path as another rule's`, { skip, timeout: 1_800_000 }, async (context) => {
    const port = await start(context, createTempDirectory(context, 'readings'))
    let read = 0
    for (const [path, reading] of PATHS) {
      const found = await readingOf(port, path)
      if (found === undefined || reading === 'refused') continue
      read++
      assert.equal(found, reading, path)
    }
    assert.ok(read > 5, `only ${read} of them were read`)
  })
}
await scope.end()
