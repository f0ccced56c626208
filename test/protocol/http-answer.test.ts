// One HTTP answer read whole, in one piece and byte by byte.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { readHttpAnswer } from '#src/protocol/http-answer.js'

const read = (text: string, { method = 'GET', isOver = false } = {}) =>
  readHttpAnswer(Buffer.from(text, 'latin1'), method, isOver)

describe('an HTTP answer', () => {
  it('is complete with the last byte of its body, and not before', () => {
    const text = 'HTTP/1.1 403 Not you\r\nContent-Length: 5\r\nX-Code:  a \r\n\r\nhello'
    for (let length = 0; length < text.length; length++) assert.equal(read(text.slice(0, length)).kind, 'incomplete')
    const verdict = read(`${text}more`)
    assert.ok(verdict.kind === 'complete')
    const { status, reason, headers, body } = verdict.answer
    assert.deepEqual([status, reason, headers.get('x-code'), body], [403, 'Not you', 'a', 'hello'])
  })

  it('ends with its head where it has no body', () => {
    for (const [method, status] of [
      ['CONNECT', 200],
      ['GET', 101],
      ['GET', 204],
      ['GET', 304],
    ] as const) {
      assert.equal(read(`HTTP/1.1 ${status} x\r\nContent-Length: 9\r\n\r\n`, { method }).kind, 'complete')
    }
  })

  it('without a length ends with the connection', () => {
    const text = 'HTTP/1.0 500\r\n\r\npart'
    assert.equal(read(text).kind, 'incomplete')
    const verdict = read(text, { isOver: true })
    assert.equal(verdict.kind === 'complete' && verdict.answer.body, 'part')
  })

  it('has no body at all where that is too long', () => {
    const verdict = read(`HTTP/1.1 200 OK\r\n\r\n${'x'.repeat(65_537)}`)
    assert.equal(verdict.kind === 'complete' && verdict.answer.body, '')
  })

  it('is none without a status line, or with an endless head', () => {
    for (const text of [
      'SSH-2.0-x\r\n\r\n',
      'HTTP/2 200\r\n\r\n',
      'HTTP/1.1 99 x\r\n\r\n',
      `HTTP/1.1 200 OK\r\n${'x'.repeat(16_400)}`,
    ])
      assert.equal(read(text).kind, 'not-http')
    assert.equal(read('HTTP/1.1 2', { isOver: true }).kind, 'not-http')
  })
})
