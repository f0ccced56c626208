// A start that succeeds, and what its bundles hold.

import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { type EnabledReport, type InitStart, type Report, startInit } from '../support/proxy-process.js'
import { createSession, type Session, type System } from '../support/system.js'
import type { Scope } from '../support/temp-dir.js'
import type { Actor } from '../support/unprivileged.js'

/** A start whose report says that the proxy is on. */
export async function startEnabled(
  t: Scope,
  actor: Actor,
  system: System,
  options: InitStart & { spoil?: (session: Session) => void } = {},
) {
  const session = createSession(t, actor, system.environment)
  options.spoil?.(session)
  const child = startInit(t, actor, session, options)
  const report = await child.next<Report & EnabledReport>()
  assert.equal(report.enabled, true, child.stderr)
  return { session, child, report }
}

/** Of every certificate in a bundle. */
export function subjectsOf(file: string): string[] {
  const blocks = readFileSync(file, 'utf8').match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? []
  return blocks.map((block) => new X509Certificate(block).subject)
}
