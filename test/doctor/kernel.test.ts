// Which kernels let others take files out of a process that is not dumpable, by number.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hasExitRace } from '#src/doctor/hardening.js'

const AFFECTED = [
  '4.10.0',
  '4.19.325',
  '5.4.302',
  '5.10.255',
  '5.15.206',
  '6.1.172',
  '6.6.138',
  '6.8.0-117-generic',
  '6.12.88',
  '6.18.30',
  '6.19.14',
  '7.0.7',
  '7.0.0-rc3',
]
const FIXED = [
  '3.10.0-1160.el7',
  '4.9.0',
  '5.10.256',
  '5.15.207',
  '6.1.173',
  '6.6.139.1-1',
  '6.12.89',
  '6.18.31',
  '6.18.44-fc-v669',
  '7.0.8',
  '7.1.0',
  '7.2.5',
  '8.0.0',
]

for (const version of AFFECTED) test(`${version} is affected`, () => assert.equal(hasExitRace(version), true))
for (const version of FIXED) test(`${version} is not`, () => assert.equal(hasExitRace(version), false))
