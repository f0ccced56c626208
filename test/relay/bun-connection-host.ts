// On Bun: echoes what one client sends, keeps every read against the rules, and says in the end how many were large and how many of
// those are still there. Writes its port first.

import { listen } from '#src/runtime/bun-connection.js'

const LARGE_READ_BYTES = 16_384

const large: Uint8Array[] = []

const listener = await listen(0, 65_536, (client) => {
  client.start({
    connectionOnData(bytes) {
      if (bytes.length >= LARGE_READ_BYTES) large.push(bytes)
      if (!client.write(bytes)) client.pauseReading()
    },
    connectionOnEnd: () => client.endWriting(),
    connectionOnDrain: () => client.resumeReading(),
    connectionOnFinish: () => client.close(),
    connectionOnClose() {
      process.stdout.write(
        JSON.stringify({ large: large.length, kept: large.filter(({ length }) => length > 0).length }),
      )
      void listener.close()
    },
  })
})
process.stdout.write(`${listener.port}\n`)
