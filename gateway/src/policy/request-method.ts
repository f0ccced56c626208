// Which methods go on to an origin. Pure.
//
// Rules:
// - Methods are case-sensitive (RFC 9110, section 9.1), and every known one is in upper case. Others are refused: some
//   origins, and node:http on the way to them, would make of `get` the GET that a rule did not see, and of `head` a request
//   whose answer has no body although ours waits for one.
// - TRACE, TRACK and CONNECT do not go on either. All others do, also those that nobody has heard of.

/** The answer to TRACE is the request, injected header included; TRACK is Microsoft's name for it. */
const NEVER_SENT: ReadonlySet<string> = new Set(['TRACE', 'TRACK', 'CONNECT'])

/** Why a method does not go on, in words; undefined when it does. */
export function methodProblem(method: string): string | undefined {
  const known = method.toUpperCase()
  if (NEVER_SENT.has(known)) return `${known} is never forwarded`
  return method === known ? undefined : 'methods are case-sensitive, and this is none in upper case'
}
