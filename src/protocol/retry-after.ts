// The field Retry-After (RFC 9110, section 10.2.3). No I/O.

/** Of RFC 9110, section 5.6.7; the obsolete forms of a date are not understood. */
const HTTP_DATE = /^[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT$/

/**
 * Milliseconds from `now` on; undefined when the field is neither seconds nor a date.
 * @param now milliseconds since 1970
 */
export function parseRetryAfter(value: string, now: number): number | undefined {
  if (/^[0-9]{1,9}$/.test(value)) return Number(value) * 1_000
  const date = HTTP_DATE.test(value) ? Date.parse(value) : Number.NaN
  return Number.isNaN(date) ? undefined : Math.max(date - now, 0)
}
