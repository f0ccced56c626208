// A TLS session as Node hands it out up to version 20: what OpenSSL's i2d_SSL_SESSION(3) writes, a SEQUENCE in DER (X.690)
//
//   version INTEGER, TLS version INTEGER, cipher, session id, master key OCTET STRING, then OPTIONAL fields by their tags,
//   of which [3] is the certificate of the server
//
// OpenSSL 3.0 takes 0.1 to 0.4 ms to read that certificate again, at each connection that goes on with the session, and nobody
// looks at it: it was verified when the session began. Node 22 and later write sessions in a form that costs nothing to read.
// BoringSSL, which Bun has, takes what goes on with such a session for unverified.

const SEQUENCE = 0x30
const INTEGER = 0x02
const OCTET_STRING = 0x04
/** [3] EXPLICIT */
const PEER_CERTIFICATE = 0xa3
const MANDATORY_FIELDS = [INTEGER, INTEGER, OCTET_STRING, OCTET_STRING, OCTET_STRING]
const TLS_1_3 = Buffer.from([0x03, 0x04])

const isOpenSsl3 = process.versions.openssl?.startsWith('3.') === true

interface Field {
  readonly tag: number
  /** Where its value begins and ends. */
  readonly start: number
  readonly end: number
}

/**
 * The session without the server's certificate, or the session itself when it has none or another form, or is not OpenSSL's. Before
 * TLS 1.3 Node takes a resumed session without a certificate for an unverified one, so there it stays.
 */
export function withoutPeerCertificate(session: Buffer): Buffer {
  if (!isOpenSsl3) return session
  const outer = fieldAt(session, 0)
  if (outer?.tag !== SEQUENCE || outer.end !== session.length) return session
  const fields = fieldsOf(session, outer)
  if (!MANDATORY_FIELDS.every((tag, index) => fields[index]?.tag === tag)) return session
  const version = fields[1] as Field
  if (!session.subarray(version.start, version.end).equals(TLS_1_3)) return session
  const index = fields.findIndex(({ tag }) => tag === PEER_CERTIFICATE)
  if (index < 0) return session
  const before = session.subarray(outer.start, (fields[index - 1] as Field).end)
  const behind = session.subarray((fields[index] as Field).end)
  return Buffer.concat([headOf(SEQUENCE, before.length + behind.length), before, behind])
}

/** The fields in `outer`, or none when one of them does not fit in it. */
function fieldsOf(bytes: Buffer, outer: Field): readonly Field[] {
  const fields: Field[] = []
  for (let offset = outer.start; offset < outer.end; ) {
    const field = fieldAt(bytes, offset)
    if (field === undefined) return []
    fields.push(field)
    offset = field.end
  }
  return fields
}

/** Undefined when it does not fit in `bytes`, or its tag or length has more bytes than any of a session has. */
function fieldAt(bytes: Buffer, offset: number): Field | undefined {
  const [tag, first] = [bytes[offset], bytes[offset + 1]]
  if (tag === undefined || first === undefined || (tag & 0x1f) === 0x1f) return undefined
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f
  const start = offset + 2 + lengthBytes
  // 0x80 alone is the indefinite length, which DER does not have.
  if (first === 0x80 || lengthBytes > 3 || start > bytes.length) return undefined
  const end = start + (lengthBytes === 0 ? first : bytes.readUIntBE(offset + 2, lengthBytes))
  return end > bytes.length ? undefined : { tag, start, end }
}

function headOf(tag: number, length: number): Buffer {
  if (length < 0x80) return Buffer.from([tag, length])
  const lengthBytes = length < 0x100 ? 1 : length < 0x10000 ? 2 : 3
  const head = Buffer.from([tag, 0x80 | lengthBytes, 0, 0, 0]).subarray(0, 2 + lengthBytes)
  head.writeUIntBE(length, 2, lengthBytes)
  return head
}
