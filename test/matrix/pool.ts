// Runs jobs a few at a time.

/** Runs `job` for every item, at most `width` at once; rejects with the first failure after all have ended. */
export async function runPool<Item>(
  items: readonly Item[],
  width: number,
  job: (item: Item) => Promise<void>,
): Promise<void> {
  const queue = [...items]
  const lane = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await job(item)
  }
  const ended = await Promise.allSettled(Array.from({ length: width }, lane))
  for (const end of ended) if (end.status === 'rejected') throw end.reason
}
