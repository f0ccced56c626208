// PHP_INI_SCAN_DIR: PHP's curl and openssl extensions read their bundle from php.ini alone. A folder with one more .ini is
// read after those that are read anyway. The proxy comes from HTTPS_PROXY for curl; PHP's own streams have none.

import { delimiter } from 'node:path'

/** Content of a file whose name ends in `.ini`. */
export function createPhpIni(bundleFile: string): string {
  const value = quote(bundleFile)
  return `curl.cainfo = ${value}\nopenssl.cafile = ${value}\n`
}

/**
 * The list of folders with ours at its end, where it has the last word. In the list an empty entry is the compiled-in
 * folder, from which the extensions are loaded; a list that is set and empty is no folder at all.
 */
export function extendPhpScanDirectories(inherited: string | undefined, directory: string): string {
  if (inherited === '') return directory
  const others = (inherited ?? '').split(delimiter).filter((entry) => entry !== directory)
  return [...others, directory].join(delimiter)
}

/** In '…' nothing is special; in "…" a backslash, a quotation mark and ${ are. */
function quote(text: string): string {
  return text.includes("'") ? `"${text.replace(/["\\]/g, '\\$&')}"` : `'${text}'`
}
