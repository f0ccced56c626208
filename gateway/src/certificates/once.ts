// Work whose result is kept.

/** Does it when it is first asked for, once for all who ask, and again after it has failed. */
export function once<T>(work: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined
  return () => {
    if (result !== undefined) return result
    result = work()
    result.catch(() => {
      result = undefined
    })
    return result
  }
}
