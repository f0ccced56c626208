// RUBYLIB: a folder in front of Ruby's own library, with a net/http that looks for the proxy of https addresses. Net::HTTP
// needs it, and bundler with it; gem and open-uri use https_proxy without. It is RUBYLIB and not RUBYOPT because Ruby does
// not start when a file of RUBYOPT is missing, runs it at every start, and reads no path with a space there.

import { delimiter } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The folder of this package; the compiler does not carry it over. */
export function rubyLibraryDirectory(): string {
  return fileURLToPath(new URL('../../../../src/system/children/preload/ruby', import.meta.url))
}

/** The list of folders with ours in front. */
export function extendRubyLib(inherited: string | undefined, directory: string): string {
  const others = (inherited ?? '').split(delimiter).filter((entry) => entry !== '' && entry !== directory)
  return [directory, ...others].join(delimiter)
}
