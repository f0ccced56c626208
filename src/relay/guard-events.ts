// What is thrown behind an event ends the one tunnel that it is about, never the process.

/** Wraps the methods `names` of `prototype`, through which the outside calls in: what one throws goes to `onDefect`. */
export function guardEvents<T extends object>(
  prototype: T,
  names: readonly (keyof T & string)[],
  onDefect: (self: T, thrown: unknown) => void,
): void {
  for (const name of names) {
    const handle = prototype[name] as (...args: unknown[]) => void
    Object.defineProperty(prototype, name, {
      value(this: T, ...args: unknown[]) {
        try {
          handle.apply(this, args)
        } catch (error) {
          onDefect(this, error)
        }
      },
    })
  }
}
