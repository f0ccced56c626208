// Writes what the documents have from the code: whole documents, and parts between `<!-- NAME: … -->` and `<!-- end NAME -->`.
// `--check` only compares, and fails when something is stale. Run after a build: it reads dist/.

import { readFileSync, writeFileSync } from 'node:fs'
import { clientsDocument } from './generate/clients.mjs'
import { errorsDocument } from './generate/errors.mjs'
import { drawRefusals } from './generate/refusals.mjs'
import { drawSession } from './generate/session.mjs'
import { drawStates, drawTransitions, EXCHANGE, TUNNEL } from './generate/states.mjs'

const DOCUMENTS = {
  'errors.md': () => errorsDocument(),
  'clients.md': () => clientsDocument(),
  'protocol.md': (text) =>
    withParts(text, {
      session: drawSession,
      states: () => drawStates(TUNNEL),
      transitions: () => drawTransitions(TUNNEL),
    }),
  'gateway.md': (text) =>
    withParts(text, {
      states: () => drawStates(EXCHANGE),
      transitions: () => drawTransitions(EXCHANGE),
      refusals: drawRefusals,
    }),
}

/** `text` with each part drawn anew. */
async function withParts(text, parts) {
  let result = text
  for (const [name, draw] of Object.entries(parts)) {
    const place = new RegExp(`(<!-- ${name}: .* -->\n)[\\s\\S]*?(<!-- end ${name} -->)`)
    if (!place.test(result)) throw new Error(`no place for "${name}"`)
    const drawn = await draw()
    result = result.replace(place, (_all, begin, end) => `${begin}\n${drawn}\n\n${end}`)
  }
  return result
}

const isCheck = process.argv.includes('--check')
for (const [name, draw] of Object.entries(DOCUMENTS)) {
  const file = new URL(name, import.meta.url)
  const before = readOrEmpty(file)
  const drawn = await draw(before)
  if (!isCheck) writeFileSync(file, drawn)
  else if (before !== drawn) {
    process.stderr.write(`doc/${name} is stale: run npm run doc\n`)
    process.exitCode = 1
  }
}

function readOrEmpty(file) {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
