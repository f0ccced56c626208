// RUBYLIB: the list. Ruby with it is in ruby-lib.long.test.ts.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { extendRubyLib } from '#src/system/children/files/ruby-lib.js'

describe('RUBYLIB', () => {
  const cases: readonly [inherited: string | undefined, list: string][] = [
    [undefined, '/ours'],
    ['', '/ours'],
    ['/theirs', '/ours:/theirs'],
    ['/theirs:/ours:', '/ours:/theirs'],
  ]
  for (const [inherited, list] of cases) {
    it(`is ${list} where ${inherited === undefined ? 'nothing' : `"${inherited}"`} is inherited`, () => {
      assert.equal(extendRubyLib(inherited, '/ours'), list)
    })
  }
})
