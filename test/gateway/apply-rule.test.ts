// What the interface of a transform promises to kinds of credentials that are yet to come.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  applyRule,
  applyRuleAfter401,
  type Field,
  type OutgoingHead,
  type Rule,
  type Transform,
} from 'ccr-upstream-gateway'
import { type Authority, parseAuthority } from 'ccr-upstream-proxy/protocol'

const HEAD: OutgoingHead = {
  method: 'POST',
  target: '/v1/things?limit=1',
  authority: parseAuthority('api.example.com:443') as Authority,
  fields: [
    ['accept', '*/*'],
    ['x-date', 'of the client'],
  ],
}

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
  const rule = ruleOf(
    { apply: async ({ fields }) => [...fields.filter(([name]) => name !== 'x-date'), date] },
    {
      apply(head) {
        seen.push(head)
        return [...head.fields, ['authorization', `signed ${head.method} ${head.target}`]]
      },
    },
  )
  const ruled = await applyRule(HEAD, rule)
  assert.deepEqual(seen, [{ ...HEAD, fields: [['accept', '*/*'], date] }])
  assert.deepEqual(ruled, {
    fields: ['accept', '*/*', 'x-date', 'of the rule', 'authorization', 'signed POST /v1/things?limit=1'],
    injected: ['x-date', 'authorization'],
    secrets: ['of the rule', 'signed POST /v1/things?limit=1'],
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

test('after a 401 every transform is refreshed, and there is a second try only with other values', async () => {
  let value = 'old'
  let renewed = 'old'
  const rule = ruleOf({
    apply: ({ fields }) => [...fields, ['authorization', value]],
    refresh: async () => {
      value = renewed
    },
  })
  const used = await applyRule(HEAD, rule)
  assert.equal(await applyRuleAfter401(HEAD, rule, used), undefined)
  renewed = 'new'
  assert.deepEqual((await applyRuleAfter401(HEAD, rule, used))?.secrets, ['new'])
})
