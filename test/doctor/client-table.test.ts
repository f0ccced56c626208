// The table of clients is in step with the table of variables, and its questions cannot be mistaken for their answers.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { CLIENTS } from '#src/doctor/client-table.js'
import { CHILD_VARIABLES } from '#src/system/children/variables.js'

const TARGET = { url: 'https://h.example.test/some/path', origin: 'https://h.example.test', host: 'h.example.test' }

describe('each client of the doctor', () => {
  for (const { name, trial, answered, proxyVariable, trustVariable } of CLIENTS) {
    it(`${name} needs variables that children get`, () => {
      const names = CHILD_VARIABLES.map((variable) => variable.name)
      assert.ok(names.includes(proxyVariable) && names.includes(trustVariable))
    })

    it(`${name} is asked for the target, and told neither of a proxy nor of a CA`, () => {
      const { args, env = {}, files = {} } = trial(TARGET)
      const told = [...args, ...Object.entries(env).flat(), ...Object.entries(files).flat()].join('\n')
      assert.match(told, /h\.example\.test/)
      assert.doesNotMatch(told, /https?_proxy|insecure|no-check|NODE_TLS|verify/i)
      for (const { name: variable } of CHILD_VARIABLES) assert.ok(!Object.hasOwn(env, variable), variable)
    })

    it(`${name} does not count as answered for what it repeats of the question`, () => {
      const { args } = trial(TARGET)
      assert.equal(answered?.test(args.join('\n')) ?? false, false)
    })
  }
})
