// Whether a command wrote what a document shows. What differs from run to run is taken for equal: times, ports, ids,
// versions. A line `…` in a document stands for any lines, a `…` within a line for anything in it.

import assert from 'node:assert/strict'

const VARYING: readonly (readonly [RegExp, string])[] = [
  [/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z/g, '<time>'],
  [/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '<uuid>'],
  [/\b[0-9a-f]{16,}\b/g, '<hex>'],
  [/(127\.0\.0\.1):\d+/g, '$1:<port>'],
  [/\b(curl|node|bun)\/[\d.]+/gi, '$1/<version>'],
  [/"(ms|responseBytes)":\d+/g, '"$1":<number>'],
  [/\/tmp\/[\w.-]+(?:\/[\w.-]+)*/g, '<path>'],
]

function withPlaceholders(text: string): string {
  return VARYING.reduce((result, [pattern, placeholder]) => result.replaceAll(pattern, placeholder), text).trimEnd()
}

/** Whether `output` is what is shown. */
export function isShown(output: string, shown: string): boolean {
  const pattern = withPlaceholders(shown)
    .split('…')
    .map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    .join('[^]*?')
  return new RegExp(`^${pattern}$`).test(withPlaceholders(output))
}

/** @throws {AssertionError} with both when they differ */
export function assertShown(output: string, shown: string): void {
  if (!isShown(output, shown)) assert.equal(withPlaceholders(output), withPlaceholders(shown))
}
