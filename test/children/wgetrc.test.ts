// WGETRC: whose lines are in it. GNU wget with it is in wgetrc.long.test.ts.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { createWgetrc } from '#src/system/children/files/wgetrc.js'
import { createTempDirectory } from '../support/temp-dir.js'

describe('the wgetrc', () => {
  it('takes the lines of WGETRC along, but for proxy and CA in every spelling', (t) => {
    const file = join(createTempDirectory(t), 'wgetrc')
    const lines = [
      '# mine',
      'tries = 3',
      'ca_certificate=/old',
      ' CA-Certificate = /old',
      'HttpsProxy = http://old',
      'header = Ca_certificate=x',
    ]
    writeFileSync(file, `${lines.join('\r\n')}\r\n`)
    const { text, mode } = createWgetrc({ WGETRC: file }, '/b.pem')
    assert.equal(text, '# mine\ntries = 3\nheader = Ca_certificate=x\nca_certificate = /b.pem\n')
    assert.equal(mode, 0o644)
  })

  it('takes those of ~/.wgetrc where WGETRC is unset or empty', (t) => {
    const HOME = createTempDirectory(t)
    writeFileSync(join(HOME, '.wgetrc'), 'tries = 4')
    assert.equal(createWgetrc({ HOME }, '/b').text, 'tries = 4\nca_certificate = /b\n')
    assert.equal(createWgetrc({ HOME, WGETRC: '' }, '/b').text, 'tries = 4\nca_certificate = /b\n')
  })

  it('is closed to others where the user had closed it', (t) => {
    const file = join(createTempDirectory(t), 'wgetrc')
    writeFileSync(file, 'password = x\n')
    chmodSync(file, 0o600)
    assert.equal(createWgetrc({ WGETRC: file }, '/b').mode, 0o600)
  })

  it('is the CA alone where there is no file, a folder, a FIFO or a file too long', (t) => {
    const folder = createTempDirectory(t)
    mkdirSync(join(folder, 'folder'))
    writeFileSync(join(folder, 'long'), Buffer.alloc(256 * 1024 + 1, '#'))
    execFileSync('mkfifo', [join(folder, 'fifo')])
    for (const name of ['none', 'folder', 'fifo', 'long'])
      assert.equal(createWgetrc({ WGETRC: join(folder, name) }, '/b').text, 'ca_certificate = /b\n', name)
    assert.equal(createWgetrc({}, '/b').text, 'ca_certificate = /b\n')
  })

  it('is the same when an outer relay had written it', (t) => {
    const file = join(createTempDirectory(t), 'wgetrc')
    writeFileSync(file, 'tries = 3\nca_certificate = /outer\n')
    const { text } = createWgetrc({ WGETRC: file }, '/b')
    assert.equal(text, 'tries = 3\nca_certificate = /b\n')
    writeFileSync(file, text)
    assert.equal(createWgetrc({ WGETRC: file }, '/b').text, text)
  })
})
