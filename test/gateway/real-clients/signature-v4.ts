// Whether a request is what its client has signed, by AWS Signature Version 4 as S3 has it: from the bytes that came and the
// key, with nothing put right. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html

import { createHash, createHmac } from 'node:crypto'
import type { SeenRequest } from '../../support/origin.js'

const AUTHORIZATION =
  /^AWS4-HMAC-SHA256 Credential=[^/,]+\/((\d{8})\/([^/,]+)\/([^/,]+)\/aws4_request), ?SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})$/

/** What is wrong with the signature; undefined when it is right. */
export function signatureProblem(request: SeenRequest, body: Buffer, secretKey: string): string | undefined {
  const fields = fieldValues(request.rawHeaders)
  const parts = AUTHORIZATION.exec(fields.get('authorization')?.join() ?? '')
  if (parts === null) return 'no signature'
  const [, scope = '', date = '', region = '', service = '', signedNames = '', signature = ''] = parts
  if (!signedNames.split(';').includes('host')) return 'Host is not signed'
  const [payloadHash = digest(body)] = fields.get('x-amz-content-sha256') ?? []
  if (payloadHash !== digest(body)) return 'the body is not the one that was signed'
  const canonical = [
    request.method,
    ...canonicalTarget(request.path),
    ...signedNames.split(';').map((name) => `${name}:${(fields.get(name) ?? []).map(trimAll).join()}`),
    '',
    signedNames,
    payloadHash,
  ].join('\n')
  const text = ['AWS4-HMAC-SHA256', fields.get('x-amz-date')?.join(), scope, digest(canonical)].join('\n')
  const key = [date, region, service, 'aws4_request'].reduce<string | Buffer>(sign, `AWS4${secretKey}`)
  return sign(key, text).toString('hex') === signature ? undefined : `it is not the signature of:\n${canonical}`
}

/** Path and query, the latter sorted. S3 takes the path as it came. */
function canonicalTarget(target: string): [string, string] {
  const [path = '', query = ''] = target.split(/\?(.*)/s, 2)
  const pairs = query.split('&').filter((pair) => pair !== '')
  return [
    path,
    pairs
      .map((pair) => (pair.includes('=') ? pair : `${pair}=`))
      .sort()
      .join('&'),
  ]
}

function fieldValues(rawHeaders: readonly string[]): Map<string, string[]> {
  const fields = new Map<string, string[]>()
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const [name = '', value = ''] = [rawHeaders[at]?.toLowerCase(), rawHeaders[at + 1]]
    fields.set(name, [...(fields.get(name) ?? []), value])
  }
  return fields
}

function trimAll(value: string): string {
  return value.trim().replace(/ +/g, ' ')
}

function digest(bytes: string | Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function sign(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}
