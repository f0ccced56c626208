// PHP_INI_SCAN_DIR: the list. PHP with it is in php-ini.long.test.ts.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { extendPhpScanDirectories } from '#src/system/children/files/php-ini.js'

describe('PHP_INI_SCAN_DIR', () => {
  const cases: readonly [inherited: string | undefined, list: string][] = [
    [undefined, ':/ours'],
    ['', '/ours'],
    ['/theirs', '/theirs:/ours'],
    [':/theirs', ':/theirs:/ours'],
    [':/ours', ':/ours'],
    ['/ours:/theirs', '/theirs:/ours'],
  ]
  for (const [inherited, list] of cases) {
    it(`is ${list} where ${inherited === undefined ? 'nothing' : `"${inherited}"`} is inherited`, () => {
      assert.equal(extendPhpScanDirectories(inherited, '/ours'), list)
    })
  }
})
