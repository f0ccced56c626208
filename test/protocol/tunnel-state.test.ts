// The life of a tunnel: every pair of state and event either leads somewhere or throws, and every life can end.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { nextTunnelState, TUNNEL_TRANSITIONS, type TunnelEvent, type TunnelState } from '#src/protocol/tunnel-state.js'

const STATES = Object.keys(TUNNEL_TRANSITIONS) as TunnelState[]
const EVENTS = [...new Set(STATES.flatMap((state) => Object.keys(TUNNEL_TRANSITIONS[state])))] as TunnelEvent[]

/** States from which the client may still be told something in words. */
const BEFORE_ANSWER: readonly TunnelState[] = ['reading-head', 'dialling', 'waiting-for-answer']

function reachable(from: TunnelState): Set<TunnelState> {
  const seen = new Set<TunnelState>([from])
  for (const state of seen) for (const next of Object.values(TUNNEL_TRANSITIONS[state])) seen.add(next)
  return seen
}

describe('tunnel states', () => {
  test('the names are the nine states and twelve events of the rules', () => {
    assert.deepEqual(STATES.toSorted(), [
      'closed',
      'dialling',
      'ending',
      'half-closed',
      'half-closed-remote',
      'open',
      'reading-head',
      'refused',
      'waiting-for-answer',
    ])
    assert.deepEqual(EVENTS.toSorted(), [
      'answer-open',
      'answer-refusal',
      'client-end',
      'client-gone',
      'dialled',
      'done',
      'expire',
      'gateway-end',
      'gateway-lost',
      'head',
      'refuse',
      'remote-end',
    ])
  })

  for (const state of STATES) {
    for (const event of EVENTS) {
      const next = TUNNEL_TRANSITIONS[state][event]
      if (next === undefined) {
        test(`${state} cannot meet ${event}`, () => {
          assert.throws(() => nextTunnelState(state, event), new RegExp(`${state} cannot meet ${event}`))
        })
      } else {
        test(`${event} leads from ${state} to ${next}`, () => {
          assert.equal(nextTunnelState(state, event), next)
          assert.ok(STATES.includes(next))
        })
      }
    }
  }

  for (const state of STATES) {
    test(`${state} can end, and can be reached`, () => {
      assert.ok(reachable(state).has('closed'))
      assert.ok(reachable('reading-head').has(state))
    })
  }

  test('nothing follows closed', () => {
    assert.deepEqual(TUNNEL_TRANSITIONS.closed, {})
  })

  test('the relay speaks for itself only before the gateway answered', () => {
    const speaking = STATES.filter((state) => 'refuse' in TUNNEL_TRANSITIONS[state])
    assert.deepEqual(speaking.toSorted(), BEFORE_ANSWER.toSorted())
  })

  test('no way leads back: a state that was left is never reached again', () => {
    for (const state of STATES) {
      const others = Object.values(TUNNEL_TRANSITIONS[state]).filter((next) => next !== state)
      for (const next of others) assert.ok(!reachable(next).has(state), `${state} again behind ${next}`)
    }
  })

  test('a client that goes away ends every tunnel that is not closed', () => {
    for (const state of STATES) {
      if (state !== 'closed') assert.equal(nextTunnelState(state, 'client-gone'), 'closed')
    }
  })

  test('a life without trouble passes through the states in order', () => {
    const life: TunnelEvent[] = ['head', 'dialled', 'answer-open', 'client-end', 'gateway-end', 'done']
    const states: TunnelState[] = ['reading-head']
    for (const event of life) states.push(nextTunnelState(states.at(-1) as TunnelState, event))
    assert.deepEqual(states, [
      'reading-head',
      'dialling',
      'waiting-for-answer',
      'open',
      'half-closed',
      'ending',
      'closed',
    ])
  })
})
