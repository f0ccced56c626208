// Which of some names was meant by one that is none of them, for messages.

/** Edits that a slip makes: a letter missed, doubled or hit beside, two in a long name. */
const MAX_EDITS = 2

/** The one of `names` that is nearest to `given`; undefined when none is near. */
export function nearestName(given: string, names: readonly string[]): string | undefined {
  const [nearest] = names
    .map((name) => ({ name, edits: countEdits(given, name) }))
    .filter(({ name, edits }) => edits <= Math.min(MAX_EDITS, Math.floor(name.length / 2)))
    .sort((one, other) => one.edits - other.edits)
  return nearest?.name
}

/** Letters to insert, drop or replace on the way from one to the other (Levenshtein's distance). */
function countEdits(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, at) => at)
  for (const [index, letter] of [...from].entries()) {
    const next = [index + 1]
    for (let at = 1; at <= to.length; at++) {
      const replaced = (row[at - 1] as number) + (letter === to[at - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[at] as number) + 1, (next[at - 1] as number) + 1))
    }
    row = next
  }
  return row[to.length] as number
}
