// What a gateway says may be shown, but never steer a terminal, fill it, or give the token away.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { printable, redactorOf, wordsOf } from '#src/doctor/words.js'
import type { HttpAnswer } from '#src/protocol/http-answer.js'
import type { SessionToken } from '#src/system/token.js'

const TOKEN = 'sentinel-token.0123456789abcdef-ABCDEF_~'
const redact = redactorOf(
  { withToken: (use: (token: Buffer) => unknown) => use(Buffer.from(TOKEN)) } as SessionToken,
  's',
)

function answer(body: string, headers: readonly [string, string][] = []): HttpAnswer {
  return { status: 403, reason: 'Forbidden', headers: new Map(headers), body }
}

describe('words of others', () => {
  it('are the message, the code and the hint of a refusal', () => {
    const body = JSON.stringify({ hop: 'gateway', code: 'policy-denied', message: 'no rule', hint: 'ask for one' })
    assert.deepEqual(wordsOf(answer(body), redact), {
      code: 'policy-denied',
      hint: 'ask for one',
      isOfRelay: false,
      text: '403 Forbidden: no rule',
    })
  })

  it('are what stands in Proxy-Status or the body of any other gateway', () => {
    assert.equal(
      wordsOf(answer('<h1>No</h1>', [['proxy-status', 'gw; error=x']]), redact).text,
      '403 Forbidden: gw; error=x',
    )
    assert.equal(wordsOf(answer('<h1>No</h1>'), redact).text, '403 Forbidden: <h1>No</h1>')
    assert.equal(wordsOf(answer(''), redact).text, '403 Forbidden')
  })

  it('have a code only when it looks like one', () => {
    for (const code of ['', 'A', 'a b', 'x'.repeat(60), '\u001b[2J', 7, null]) {
      assert.equal(wordsOf(answer(JSON.stringify({ code })), redact).code, undefined)
    }
  })

  it('survive JSON of any shape', () => {
    for (const body of ['null', '[]', '7', '"x"', '{"message":7}', '{'])
      assert.match(wordsOf(answer(body), redact).text, /^403/)
  })

  it('lose the token in every form in which it travels', () => {
    const basic = Buffer.from(`s:${TOKEN}`).toString('base64')
    const base64 = Buffer.from(TOKEN).toString('base64')
    const { text } = wordsOf(answer(`you sent Bearer ${TOKEN}, Basic ${basic}, ${base64}`), redact)
    assert.equal(text, '403 Forbidden: you sent Bearer [redacted], Basic [redacted], [redacted]')
  })

  it('lose what steers a terminal, and what is too much', () => {
    assert.equal(printable('\u001b[31mred\u001b[0m\r\n\u0007bell\u202e'), 'red bell')
    assert.equal(printable('x'.repeat(1_000)).length, 160)
  })
})
