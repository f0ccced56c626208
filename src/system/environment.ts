// An environment, of this process or of another one.

/** An environment, as process.env has it. */
export type Environment = Readonly<Record<string, string | undefined>>
