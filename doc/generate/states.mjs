// The states of a tunnel for doc/protocol.md, those of an intercepted request for doc/gateway.md: the transitions from the code,
// what states and events mean from its comments.

import { readFileSync } from 'node:fs'
import { TUNNEL_TRANSITIONS } from '../../dist/protocol/tunnel-state.js'
import { EXCHANGE_TRANSITIONS } from '../../gateway/dist/intercept/exchange-state.js'
import { table } from './table.mjs'

export const TUNNEL = { source: 'src/protocol/tunnel-state.ts', transitions: TUNNEL_TRANSITIONS }
export const EXCHANGE = { source: 'gateway/src/intercept/exchange-state.ts', transitions: EXCHANGE_TRANSITIONS }

/** What each state is. */
export function drawStates({ source, transitions }) {
  const meanings = readMeanings(source, /^\/\/ - ([a-z-]+): ((?:.*\n)(?:\/\/ {3}.*\n)*)/gm)
  return table(
    ['state', 'what it is'],
    Object.keys(transitions).map((state) => [`\`${state}\``, meaningOf(source, meanings, state)]),
  )
}

/** Event by state, and the state that follows. */
export function drawTransitions({ source, transitions }) {
  const states = Object.keys(transitions).filter((state) => Object.keys(transitions[state]).length > 0)
  const meanings = readMeanings(source, /\/\*\* (.*) \*\/\s+\| '([a-z-]+)'/g, true)
  const events = [...new Set(states.flatMap((state) => Object.keys(transitions[state])))]
  return table(
    ['event', 'what happened', ...states.map((state) => `in \`${state}\``)],
    events.map((event) => [
      `\`${event}\``,
      meaningOf(source, meanings, event),
      ...states.map((state) => transitions[state][event] ?? ''),
    ]),
  )
}

function readMeanings(source, pattern, isNameLast = false) {
  const text = readFileSync(new URL(`../../${source}`, import.meta.url), 'utf8')
  const found = [...text.matchAll(pattern)].map(([, first, second]) => [first, second])
  return new Map(found.map((pair) => (isNameLast ? pair.reverse() : pair)))
}

function meaningOf(source, meanings, name) {
  const meaning = meanings.get(name)
  if (meaning === undefined) throw new Error(`${source} says nothing about ${name}`)
  return meaning.replaceAll(/\n(?:\/\/ *)?/g, ' ').trim()
}
