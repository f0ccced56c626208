// JAVA_TOOL_OPTIONS: Java's two HTTP clients with it behind a real relay.

import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { parseCertificates } from '#src/system/certificates/pem.js'
import { extendJavaToolOptions, javaToolOptions } from '#src/system/children/files/java-options.js'
import { encodeJavaTrustStore } from '#src/system/children/files/java-trust-store.js'
import { RULED_HOST, SECRET } from '../support/system.js'
import { SharedScope } from '../support/temp-dir.js'
import { type FileSession, startFileSession } from './file-session.js'
import { findJavaHomes } from './java-homes.js'

const PROGRAM = `
import java.net.*;
import java.net.http.*;
public class Main {
  public static void main(String[] args) throws Exception {
    URI uri = URI.create(args[1]);
    if (args[0].equals("HttpClient")) {
      HttpRequest request = HttpRequest.newBuilder(uri).build();
      System.out.println(HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).body());
    } else {
      System.out.println(new String(uri.toURL().openStream().readAllBytes()));
    }
  }
}
`

const setup = new SharedScope()
const homes = findJavaHomes()

describe('Java behind the relay', { timeout: 1_800_000, skip: homes.length === 0 && 'no JDK is installed' }, () => {
  let session: FileSession
  let options = ''

  before(async () => {
    session = await startFileSession(setup)
    writeFileSync(join(session.directory, 'Main.java'), PROGRAM)
    // Names that need every kind of quoting.
    const folder = join(session.directory, `trust "stores" of 'mine'`)
    mkdirSync(folder)
    const trustStoreFile = join(folder, 'trust.jks')
    writeFileSync(trustStoreFile, encodeJavaTrustStore(parseCertificates(session.bundlePem).certificates))
    const noProxy = session.clientEnv.NO_PROXY ?? ''
    options = javaToolOptions({ proxyHost: '127.0.0.1', proxyPort: session.port, noProxy, trustStoreFile })
  })
  after(() => setup.end())

  const java = (home: string, client: string, url: string, toolOptions: string | undefined) =>
    session.run(join(home, 'bin/java'), ['Main.java', client, url], { JAVA_TOOL_OPTIONS: toolOptions })

  for (const home of homes) {
    for (const client of ['HttpClient', 'HttpsURLConnection']) {
      it(`${client} of ${home} gets the injected credential`, async () => {
        const inherited = '-Dfile.encoding=UTF-8 -Djavax.net.ssl.trustStore=/nowhere'
        const toolOptions = extendJavaToolOptions(inherited, options)
        const { exitCode, stdout, stderr } = await java(home, client, `https://${RULED_HOST}/java`, toolOptions)
        assert.equal(exitCode, 0, stderr)
        assert.ok(stdout.includes(`Bearer ${SECRET}`), stdout)
      })

      it(`${client} of ${home} goes past the relay to localhost`, async () => {
        const { connections } = session.direct
        const { exitCode, stderr } = await java(home, client, `https://localhost:${session.direct.port}/`, options)
        assert.equal(exitCode, 0, stderr)
        assert.equal(session.direct.connections, connections + 1)
        assert.doesNotMatch(JSON.stringify(session.system.audit), /localhost/)
      })
    }

    it(`HttpClient of ${home} gets nowhere without the variable`, async () => {
      const { exitCode, stderr } = await java(home, 'HttpClient', `https://${RULED_HOST}/java`, undefined)
      assert.notEqual(exitCode, 0)
      assert.match(stderr, /ConnectException|UnknownHost|UnresolvedAddress/)
    })
  }
})
