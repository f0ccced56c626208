// JAVA_TOOL_OPTIONS: what makes Java programs (Maven, Gradle, plain java) go through the relay and trust the gateway. Java
// reads none of HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE. The JVM says "Picked up JAVA_TOOL_OPTIONS" on standard error.
//
// Rules:
// - What the container has in the variable stays, but for the properties below: of two values the JVM takes the last.
// - The hosts that it lets past its own proxy go past ours as well.
// - Short: an older JDK 8 drops what goes beyond 1,023 bytes (JDK-8288483).

import { addressGroups, canonicalIpv6, canonicalName, isIpv4 } from '../../../protocol/authority.js'

/** What every JDK's own cacerts has. Java refuses a store whose password it was not told, however public. */
export const JAVA_TRUST_STORE_PASSWORD = 'changeit'

/** What the options say. */
export interface JavaToolOptions {
  readonly proxyHost: string
  readonly proxyPort: number
  /** The list that children get as NO_PROXY. */
  readonly noProxy: string
  /** A file that encodeJavaTrustStore() made. */
  readonly trustStoreFile: string
}

/** What Java lets past every proxy when nobody tells it otherwise; a value of ours replaces that. */
const JAVA_NON_PROXY_HOSTS = ['localhost', '127.*', '[::1]', '0.0.0.0', '[::]'] as const
/** So many patterns at most say one network: enough for 172.16.0.0/12. What is left out goes to the relay. */
const MAX_PATTERNS_PER_NETWORK = 16

const NON_PROXY_HOSTS = 'http.nonProxyHosts'

/** The options, parted by spaces. */
export function javaToolOptions(options: JavaToolOptions): string {
  return formatProperties([
    ['https.proxyHost', options.proxyHost],
    ['https.proxyPort', String(options.proxyPort)],
    [NON_PROXY_HOSTS, nonProxyHosts(options.noProxy).join('|')],
    ['javax.net.ssl.trustStore', options.trustStoreFile],
    ['javax.net.ssl.trustStorePassword', JAVA_TRUST_STORE_PASSWORD],
    ['javax.net.ssl.trustStoreType', 'JKS'],
    // Maven 3.9 and later read the properties above only when they are told to.
    ['aether.connector.http.useSystemProperties', 'true'],
  ])
}

/** The inherited options without those that `ours` sets, then `ours`. Applied to its own result it changes nothing. */
export function extendJavaToolOptions(inherited: string | undefined, ours: string): string {
  const own = new Map(splitOptions(ours).flatMap(({ text }) => parseProperty(text)))
  const kept: string[] = []
  const hosts = (own.get(NON_PROXY_HOSTS) ?? '').split('|')
  for (const { raw, text } of splitOptions(inherited ?? '')) {
    const [[name, value] = []] = parseProperty(text)
    if (name === undefined || !own.has(name)) kept.push(raw)
    // `*` would turn the proxy off for everything.
    else if (name === NON_PROXY_HOSTS) hosts.push(...(value ?? '').split('|').filter((host) => host !== '*'))
  }
  const patterns = [...new Set(hosts.filter((host) => host !== ''))]
  own.set(NON_PROXY_HOSTS, patterns.join('|'))
  return [...kept, formatProperties([...own])].join(' ')
}

// -- Hosts -----------------------------------------------------------------------------------------------------------------

function nonProxyHosts(noProxy: string): string[] {
  const patterns = noProxy.split(/[\s,]+/).flatMap(patternsOf)
  return [...new Set([...JAVA_NON_PROXY_HOSTS, ...patterns])]
}

/** A name stands for itself and what is below it. An entry with a port, or one that Java cannot say, is left out. */
function patternsOf(entry: string): string[] {
  const [address = '', bits, ...rest] = entry.replace(/^\[(.*)\]$/, '$1').split('/')
  if (rest.length > 0) return []
  const isAddress = addressGroups(address) !== undefined
  if (isAddress && isIpv4(address)) return ipv4Patterns(address, bits ?? '32')
  if (isAddress) return bits === undefined || bits === '128' ? [`[${canonicalIpv6(address)}]`] : []
  const name = bits === undefined ? canonicalName(address.replace(/^\*?\./, '')) : undefined
  return name === undefined ? [] : [name, `*.${name}`]
}

/** A wildcard stands for whole octets only, so that a network that ends within one is its parts. */
function ipv4Patterns(address: string, length: string): string[] {
  const bits = /^[0-9]{1,2}$/.test(length) ? Number(length) : 0
  if (bits < 1 || bits > 32) return []
  const octets = address.split('.').map(Number)
  const whole = Math.ceil(bits / 8)
  const count = 2 ** (whole * 8 - bits)
  if (count > MAX_PATTERNS_PER_NETWORK) return []
  const fixed = octets.slice(0, whole - 1)
  const first = Math.floor((octets[whole - 1] ?? 0) / count) * count
  const wildcard = whole < 4 ? ['*'] : []
  return Array.from({ length: count }, (_, index) => [...fixed, first + index, ...wildcard].join('.'))
}

// -- The JVM's own grammar: words between white space, in which '…' and "…" quote and nothing escapes ------------------------

interface Option {
  /** As it stands there. */
  readonly raw: string
  /** Without quotes. */
  readonly text: string
}

function splitOptions(text: string): Option[] {
  const words = text.match(/(?:[^\s'"]|'[^']*(?:'|$)|"[^"]*(?:"|$))+/g) ?? []
  return words.map((raw) => ({ raw, text: raw.replace(/'([^']*)'|"([^"]*)"/g, '$1$2') }))
}

/** `-Dname=value` as one pair; nothing for any other option. */
function parseProperty(option: string): [string, string][] {
  const match = /^-D([^=]+)(?:=([\s\S]*))?$/.exec(option)
  return match === null ? [] : [[match[1] as string, match[2] ?? '']]
}

function formatProperties(properties: readonly (readonly [string, string])[]): string {
  return properties.map(([name, value]) => quoteOption(`-D${name}=${value}`)).join(' ')
}

/** Each kind of quotation mark is put between the other kind. */
function quoteOption(option: string): string {
  if (!/[\s'"]/.test(option)) return option
  return (option.match(/[^"]+|"+/g) ?? []).map((part) => (part.startsWith('"') ? `'${part}'` : `"${part}"`)).join('')
}
