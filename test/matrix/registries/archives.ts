// The archive formats that packages come in, as little of each as their readers ask for: tar (POSIX ustar), ZIP with stored
// entries, and ar.

import { gzipSync } from 'node:zlib'

/** Contents by path. */
export type Files = Readonly<Record<string, string | Buffer>>

/** A fixed time, so that one content has one digest: 2020-01-01. */
const MODIFIED_S = 1_577_836_800
const DOS_DATE = ((2020 - 1980) << 9) | (1 << 5) | 1

/** A tar archive. */
export function tar(files: Files): Buffer {
  const parts = Object.entries(files).flatMap(([name, content]) => {
    const bytes = Buffer.from(content)
    return [tarHeader(name, bytes.length), bytes, Buffer.alloc(-bytes.length & 511)]
  })
  return Buffer.concat([...parts, Buffer.alloc(1024)])
}

/** A gzipped tar archive. */
export function tarGz(files: Files): Buffer {
  return gzipSync(tar(files))
}

function tarHeader(name: string, size: number): Buffer {
  const header = Buffer.alloc(512)
  const octal = (value: number, at: number, width: number): void => {
    header.write(`${value.toString(8).padStart(width - 1, '0')}\0`, at, 'latin1')
  }
  header.write(name, 0, 100)
  octal(0o644, 100, 8)
  octal(0, 108, 8)
  octal(0, 116, 8)
  octal(size, 124, 12)
  octal(MODIFIED_S, 136, 12)
  header.write('        0', 148, 'latin1')
  header.write('ustar\x0000', 257, 'latin1')
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return header
}

/** A ZIP archive whose entries are stored as they are. */
export function zip(files: Files): Buffer {
  const local: Buffer[] = []
  const central: Buffer[] = []
  let offset = 0
  for (const [path, content] of Object.entries(files)) {
    const name = Buffer.from(path)
    const bytes = Buffer.from(content)
    const common = zipCommon(name, bytes)
    local.push(Buffer.from('PK\x03\x04', 'latin1'), common, name, bytes)
    const rest = Buffer.alloc(14)
    rest.writeUInt32LE(0o100644 * 65_536, 6)
    rest.writeUInt32LE(offset, 10)
    central.push(Buffer.from('PK\x01\x02\x14\x03', 'latin1'), common, rest, name)
    offset += 4 + common.length + name.length + bytes.length
  }
  const directory = Buffer.concat(central)
  const end = Buffer.alloc(22)
  end.write('PK\x05\x06', 0, 'latin1')
  end.writeUInt16LE(Object.keys(files).length, 8)
  end.writeUInt16LE(Object.keys(files).length, 10)
  end.writeUInt32LE(directory.length, 12)
  end.writeUInt32LE(offset, 16)
  return Buffer.concat([...local, directory, end])
}

/** What a local header and a central one share: version needed to the length of the extra field. */
function zipCommon(name: Buffer, bytes: Buffer): Buffer {
  const fields = Buffer.alloc(26)
  fields.writeUInt16LE(20, 0)
  fields.writeUInt16LE(DOS_DATE, 8)
  fields.writeUInt32LE(crc32(bytes), 10)
  fields.writeUInt32LE(bytes.length, 14)
  fields.writeUInt32LE(bytes.length, 18)
  fields.writeUInt16LE(name.length, 22)
  return fields
}

/** CRC-32 as ZIP has it; zlib.crc32() is not in Node 20. */
function crc32(bytes: Buffer): number {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0)
  }
  return ~crc >>> 0
}

/** An ar archive, the outermost layer of a Debian package. */
export function ar(files: Files): Buffer {
  const parts = Object.entries(files).flatMap(([name, content]) => {
    const bytes = Buffer.from(content)
    const fields = [
      [name, 16],
      [MODIFIED_S, 12],
      [0, 6],
      [0, 6],
      [100644, 8],
      [bytes.length, 10],
    ] as const
    const header = fields.map(([value, width]) => String(value).padEnd(width)).join('')
    return [Buffer.from(`${header}\`\n`), bytes, Buffer.from(bytes.length % 2 === 1 ? '\n' : '')]
  })
  return Buffer.concat([Buffer.from('!<arch>\n'), ...parts])
}
