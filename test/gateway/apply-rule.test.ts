// What the interface of a transform promises to kinds of credentials that are yet to come.

import assert from 'node:assert/strict'
import { describe, mock, test } from 'node:test'
import {
  applyRule,
  applyRuleAfter401,
  type Field,
  type OutgoingHead,
  type Rule,
  type Taint,
  type Transform,
} from 'ccr-upstream-gateway'
import { type Authority, parseAuthority } from 'ccr-upstream-proxy/protocol'
import '../support/watched-process.js'

const HEAD: OutgoingHead = {
  method: 'POST',
  target: '/v1/things?limit=1',
  authority: parseAuthority('api.example.com:443') as Authority,
  fields: [
    ['accept', '*/*'],
    ['x-date', 'of the client'],
  ],
}

const taint = (): Taint => ({ spansIn: () => [] })

const ruleOf = (...transforms: Partial<Transform>[]): Rule => ({
  match: {},
  transforms: transforms.map((transform) => ({
    apply: ({ fields }) => fields,
    strip: (fields) => fields,
    refresh: async () => {},
    ...transform,
  })),
})

test('a transform sees the whole head, with what the ones before it have put in', async () => {
  const seen: OutgoingHead[] = []
  const date: Field = ['x-date', 'of the rule']
  const key = taint()
  const rule = ruleOf(
    { apply: async ({ fields }) => [...fields.filter(([name]) => name !== 'x-date'), date] },
    {
      apply(head) {
        seen.push(head)
        return [...head.fields, ['authorization', `signed ${head.method} ${head.target}`, [key]]]
      },
    },
  )
  const ruled = await applyRule(HEAD, rule)
  assert.deepEqual(seen, [{ ...HEAD, fields: [['accept', '*/*'], date] }])
  assert.deepEqual(ruled, {
    fields: ['accept', '*/*', 'x-date', 'of the rule', 'authorization', 'signed POST /v1/things?limit=1'],
    injected: ['x-date', 'authorization'],
    secrets: [key],
  })
})

test('requests whose transforms need not wait keep their order, however many transforms they have', async () => {
  const done: string[] = []
  const put: Partial<Transform> = { apply: ({ fields }) => [...fields, ['x-key', 'value']] }
  await Promise.all([
    applyRule(HEAD, ruleOf(put, put, put)).then(() => done.push('first')),
    applyRule(HEAD, undefined).then(() => done.push('second')),
  ])
  assert.deepEqual(done, ['first', 'second'])
})

describe('after a 401', () => {
  /** A rule with one secret, which is `next` once it was refreshed. */
  const renewable = (first: Taint, next: () => Taint) => {
    let [value, refreshes] = [first, 0]
    const rule = ruleOf({
      apply: ({ fields }) => [...fields, ['authorization', 'value', [value]]],
      refresh: async () => {
        refreshes++
        value = next()
      },
    })
    return { rule, refreshes: () => refreshes }
  }

  test('there is something to ask once more with only if a secret is another one', async () => {
    const [old, fresh] = [taint(), taint()]
    let next = old
    const { rule, refreshes } = renewable(old, () => next)
    const used = await applyRule(HEAD, rule)
    assert.equal(await applyRuleAfter401(HEAD, rule, used), undefined)
    next = fresh
    assert.equal((await applyRuleAfter401(HEAD, rule, used))?.fields.at(-1), 'value')
    assert.equal(refreshes(), 2)
  })

  test('the second try keeps the secrets of the first for redaction', async () => {
    const [old, fresh] = [taint(), taint()]
    const { rule } = renewable(old, () => fresh)
    const renewed = await applyRuleAfter401(HEAD, rule, await applyRule(HEAD, rule))
    assert.deepEqual(new Set(renewed?.secrets), new Set([old, fresh]))
  })

  test('a request that was sent before the secret was renewed is asked once more without another refresh', async () => {
    const { rule, refreshes } = renewable(taint(), taint)
    const [one, other] = [await applyRule(HEAD, rule), await applyRule(HEAD, rule)]
    assert.notEqual(await applyRuleAfter401(HEAD, rule, one), undefined)
    assert.notEqual(await applyRuleAfter401(HEAD, rule, other), undefined)
    assert.equal(refreshes(), 1)
  })

  test('a request that no secret went into refreshes nothing', async () => {
    const refresh = mock.fn(async () => {})
    const rule = ruleOf({ apply: ({ fields }) => [...fields, ['x-client', 'a text of the config']], refresh })
    assert.equal(await applyRuleAfter401(HEAD, rule, await applyRule(HEAD, rule)), undefined)
    assert.equal(refresh.mock.callCount(), 0)
  })

  test('a secret that cannot be had any more leaves the 401 as it is', async () => {
    let isGone = false
    const rule = ruleOf({
      apply: ({ fields }) => {
        if (isGone) throw new Error('gone')
        return [...fields, ['authorization', 'value', [taint()]]]
      },
    })
    const used = await applyRule(HEAD, rule)
    isGone = true
    assert.equal(await applyRuleAfter401(HEAD, rule, used), undefined)
  })
})
