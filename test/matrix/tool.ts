// What a client is to the matrix: where it comes from, how it is asked for its version, and the script that makes it do its
// work against one target. The clients themselves are in tools/.

/** The three ways that a request can take. */
export const CELL_KINDS = ['intercepted', 'passedThrough', 'bypassed'] as const
export type CellKind = (typeof CELL_KINDS)[number]

/** What one cell of the matrix is aimed at. */
export interface Target {
  readonly kind: CellKind
  /** `https://host`, with the port where it is not 443; no slash at the end. */
  readonly url: string
  /** Name or IPv4 address. */
  readonly host: string
  readonly port: number
}

/** A client, and its work. */
export interface Tool {
  /** A host label: the origins of the client have it in their names. */
  readonly id: string
  readonly name: string
  /** What it does in the matrix, in a few words. */
  readonly does: string
  /** Shell script that prints the version, and fails where the client is not installed. */
  readonly version: string
  /** What to install for it. */
  readonly from: Source
  /** Shell script that runs once, without a proxy, before the cells: what need not be built for each of them. */
  readonly prepare?: Work
  /**
   * Shell script that reaches the target and ends by printing what it got there, which has the origin's secret word in it.
   * It runs in an empty folder. `shared` is the folder of `prepare`.
   */
  readonly work: (target: Target, shared: string) => Work
  /** The reason why the environment cannot bring this client through, and what it needs instead. */
  readonly impossible?: Impossible
  /** Why a network in NO_PROXY does not do for it, so that its address is in the list as well. */
  readonly wantsAddress?: string
  /** It has public roots of its own compiled in and does not read the system's: a test root has to be named to it. */
  readonly hasOwnRoots?: boolean
}

/** Debian packages, or a package of npm-tools/package.json. */
export type Source = { readonly debian: string } | { readonly npm: string } | { readonly bundled: string }

/** A shell script and the files that lie in its folder. */
export interface Work {
  readonly script: string
  readonly files?: Readonly<Record<string, string>>
}

/** Why a client stays outside. */
export interface Impossible {
  readonly reason: string
  readonly needs: string
}

/** Where `from` is to be had, for people. */
export function describeSource(from: Source): string {
  if ('debian' in from) return `Debian: ${from.debian}`
  return 'npm' in from ? `npm run matrix -- --install (${from.npm})` : from.bundled
}
