// How long the path of a Unix socket may be.

/** What sun_path takes besides its final NUL (unix(7)); elsewhere it is 104 bytes. */
export const MAX_PATH_BYTES = process.platform === 'linux' ? 107 : 103

/** Whether a socket can have this path: a runtime may cut off a longer one without a word. */
export function fitsSocketPath(path: string): boolean {
  return Buffer.byteLength(path) <= MAX_PATH_BYTES
}
