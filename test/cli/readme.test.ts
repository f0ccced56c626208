// The README says what the program says.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { USAGE } from '#src/cli/help.js'

test('the README shows the help word for word', () => {
  const readme = readFileSync(new URL('../../../README.md', import.meta.url), 'utf8')
  assert.ok(readme.includes(`\`\`\`\n${USAGE}\`\`\``))
})
