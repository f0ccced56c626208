// An object store for S3's clients: it puts, gets and lists for those whose signature is right, and for nobody else.

import type { IncomingMessage, RequestListener } from 'node:http'
import type { SeenRequest } from '../../support/origin.js'
import { signatureProblem } from './signature-v4.js'

/** @param secretKey of its one user */
export function s3Store(secretKey: string): RequestListener {
  const objects = new Map<string, Buffer>()
  return (request, response) => {
    if (request.headers.expect !== undefined) response.writeContinue()
    void bodyOf(request).then((body) => {
      const { method = '', url: path = '', rawHeaders } = request
      const seen: SeenRequest = { method, path, rawHeaders, trailers: [], isAborted: false }
      const problem = signatureProblem(seen, body, secretKey)
      if (problem !== undefined) {
        response.writeHead(403, XML).end(errorXml('SignatureDoesNotMatch', problem))
        return
      }
      if (method === 'PUT') objects.set(path, body)
      const object = objects.get(path)
      if (path.includes('?list-type=2')) response.writeHead(200, XML).end(listXml([...objects.keys()]))
      else if (object === undefined) response.writeHead(404, XML).end(errorXml('NoSuchKey', path))
      else response.writeHead(200).end(method === 'GET' ? object : '')
    })
  }
}

const XML = { 'content-type': 'application/xml' }

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const bytes of request) pieces.push(bytes as Buffer)
  return Buffer.concat(pieces)
}

/** Keys as they came, bucket included: percent-encoded, which is what `encoding-type=url` asks for. */
function listXml(paths: readonly string[]): string {
  const contents = paths.map((path) => `<Contents><Key>${path.replace(/^\/[^/]+\//, '')}</Key></Contents>`)
  return `<ListBucketResult><EncodingType>url</EncodingType>${contents.join('')}</ListBucketResult>`
}

function errorXml(code: string, message: string): string {
  return `<Error><Code>${code}</Code><Message>${message.replace(/[&<]/g, ' ')}</Message></Error>`
}
