// The states of a tunnel for doc/protocol.md: the transitions from the code, what states and events mean from its comments.

import { readFileSync } from 'node:fs'
import { TUNNEL_TRANSITIONS } from '../../dist/protocol/tunnel-state.js'
import { table } from './table.mjs'

const SOURCE = new URL('../../src/protocol/tunnel-state.ts', import.meta.url)

/** What each state is. */
export function drawStates() {
  const meanings = readMeanings(/^\/\/ - ([a-z-]+): ((?:.*\n)(?:\/\/ {3}.*\n)*)/gm)
  return table(
    ['state', 'what it is'],
    stateNames().map((state) => [`\`${state}\``, meaningOf(meanings, state)]),
  )
}

/** Event by state, and the state that follows. */
export function drawTransitions() {
  const states = stateNames().filter((state) => Object.keys(TUNNEL_TRANSITIONS[state]).length > 0)
  const meanings = readMeanings(/\/\*\* (.*) \*\/\s+\| '([a-z-]+)'/g, true)
  const events = [...new Set(states.flatMap((state) => Object.keys(TUNNEL_TRANSITIONS[state])))]
  return table(
    ['event', 'what happened', ...states.map((state) => `in \`${state}\``)],
    events.map((event) => [
      `\`${event}\``,
      meaningOf(meanings, event),
      ...states.map((state) => TUNNEL_TRANSITIONS[state][event] ?? ''),
    ]),
  )
}

function stateNames() {
  return Object.keys(TUNNEL_TRANSITIONS)
}

function readMeanings(pattern, isNameLast = false) {
  const found = [...readFileSync(SOURCE, 'utf8').matchAll(pattern)].map(([, first, second]) => [first, second])
  return new Map(found.map((pair) => (isNameLast ? pair.reverse() : pair)))
}

function meaningOf(meanings, name) {
  const meaning = meanings.get(name)
  if (meaning === undefined) throw new Error(`src/protocol/tunnel-state.ts says nothing about ${name}`)
  return meaning.replaceAll(/\n(?:\/\/ *)?/g, ' ').trim()
}
