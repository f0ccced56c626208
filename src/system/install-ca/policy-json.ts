// Browser policies as JSON: one list of strings somewhere in an object gets some more, or loses them.

/** A JSON object. */
export type Policy = Readonly<Record<string, unknown>>

/** The object of a JSON text; undefined when it is none. */
export function parsePolicy(text: string): Policy | undefined {
  try {
    const value: unknown = JSON.parse(text.replace(/^\uFEFF/, ''))
    return isPolicy(value) ? value : undefined
  } catch {
    return undefined
  }
}

export function formatPolicy(policy: Policy): string {
  return `${JSON.stringify(policy, undefined, 2)}\n`
}

/** The list at `keys`: empty when it is not there, undefined when something else is in its place. */
export function listOf(policy: Policy, keys: readonly string[]): readonly unknown[] | undefined {
  let value: unknown = policy
  for (const key of keys) {
    if (!isPolicy(value)) return undefined
    if (!Object.hasOwn(value, key)) return []
    value = value[key]
  }
  return Array.isArray(value) ? value : undefined
}

/** The policy with `values` at the end of the list at `keys`, each once; listOf() must have found a list. */
export function addToList(policy: Policy, keys: readonly string[], values: readonly string[]): Policy {
  const list = listOf(policy, keys) ?? []
  return replaceAt(policy, keys, [...list, ...values.filter((value) => !list.includes(value))])
}

/** The policy without `values`, and without what is empty then; undefined when none of them is there. */
export function removeFromList(policy: Policy, keys: readonly string[], values: readonly string[]): Policy | undefined {
  const list = listOf(policy, keys)
  const rest = list?.filter((value) => !values.includes(value as string))
  if (list === undefined || rest === undefined || rest.length === list.length) return undefined
  return replaceAt(policy, keys, rest.length === 0 ? undefined : rest)
}

/** `value` undefined takes the key away, and every object that is empty without it. */
function replaceAt(policy: Policy, [key, ...rest]: readonly string[], value: unknown): Policy {
  if (key === undefined) return policy
  const { [key]: old, ...others } = policy
  const inner = rest.length === 0 ? value : replaceAt(isPolicy(old) ? old : {}, rest, value)
  if (inner === undefined || (rest.length > 0 && Object.keys(inner as Policy).length === 0)) return others
  // A key that was there stays where it was.
  return { ...policy, [key]: inner }
}

function isPolicy(value: unknown): value is Policy {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
