// What is said to the operator of an error that should not have happened: its kind and its place. Its message is left out, for it
// may quote what came over the wire.

/** A line for the operator's log. */
export function describeDefect(thrown: unknown): string {
  const error: NodeJS.ErrnoException = thrown instanceof Error ? thrown : new Error('not an error')
  const { name, code, stack } = error
  const places = (stack ?? '').split('\n').flatMap((line) => /^ +at .*?([^/\\]+:\d+:\d+)\)?$/.exec(line)?.[1] ?? [])
  return `a defect ended a request, please report it: ${code ?? name} at ${places.slice(0, 5).join(' < ')}`
}
