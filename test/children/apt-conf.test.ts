// APT_CONFIG: the file. apt with it is in apt-conf.long.test.ts.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { createAptConf } from '#src/system/children/files/apt-conf.js'
import { createTempDirectory } from '../support/temp-dir.js'

describe('the apt.conf', () => {
  it('names the bundle, and includes the file that the container had named', (t) => {
    const file = join(createTempDirectory(t), 'apt.conf')
    writeFileSync(file, 'APT::Get::Assume-Yes "1";')
    const [, include, ca] = createAptConf({ APT_CONFIG: file }, '/b.pem')?.split('\n') ?? []
    assert.equal(include, `#include "${file}";`)
    assert.equal(ca, 'Acquire::https::CAInfo "/b.pem";')
  })

  it('includes nothing that cannot be read', () => {
    for (const APT_CONFIG of [undefined, '', '/nowhere', '/'])
      assert.doesNotMatch(createAptConf({ APT_CONFIG }, '/b.pem') ?? '', /include/)
  })

  it("includes the container's own file under a second relay, not the first one's", (t) => {
    const folder = createTempDirectory(t)
    const [own, outer] = [join(folder, 'own.conf'), join(folder, 'outer.conf')]
    writeFileSync(own, '')
    writeFileSync(outer, createAptConf({ APT_CONFIG: own }, '/outer.pem') ?? '')
    assert.equal(createAptConf({ APT_CONFIG: outer }, '/b.pem'), createAptConf({ APT_CONFIG: own }, '/b.pem'))
    writeFileSync(outer, createAptConf({}, '/outer.pem') ?? '')
    assert.equal(createAptConf({ APT_CONFIG: outer }, '/b.pem'), createAptConf({}, '/b.pem'))
  })

  it('is none where a path has a quotation mark', () => {
    assert.equal(createAptConf({}, '/a"b.pem'), undefined)
  })
})
