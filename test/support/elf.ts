// What the dynamic linker reads of a shared object (elf(5)), for 64-bit little-endian files. Trusts the file: it is ours.

const PT_LOAD = 1
const PT_DYNAMIC = 2
const PT_GNU_STACK = 0x6474e551
const PT_GNU_RELRO = 0x6474e552
const PF_X = 1
const DT_NEEDED = 1
const DT_STRTAB = 5
const DT_SYMTAB = 6
const DT_FLAGS = 30
const DT_VERNEED = 0x6ffffffe
const DT_VERNEEDNUM = 0x6fffffff
const DF_BIND_NOW = 8
const SYMBOL_BYTES = 24

export interface ElfFacts {
  /** e_machine: 62 is x64, 183 is arm64. */
  readonly machine: number
  /** Libraries that are loaded with it. */
  readonly needed: readonly string[]
  /** Versions of symbols that those libraries must have. */
  readonly versions: readonly string[]
  /** Symbols that have to be found elsewhere; weak ones too. */
  readonly undefinedSymbols: readonly string[]
  readonly definedSymbols: readonly string[]
  /** All symbols are resolved when it is loaded, or it is not loaded. */
  readonly bindsNow: boolean
  readonly hasExecutableStack: boolean
  /** What is relocated is read-only afterwards. */
  readonly hasReadOnlyRelocations: boolean
}

interface Segment {
  readonly type: number
  readonly flags: number
  readonly offset: number
  readonly address: number
  readonly size: number
}

export function readElf(file: Buffer): ElfFacts {
  const segments = readSegments(file)
  const dynamic = readDynamic(file, segments)
  const dynamicValue = (tag: number) => dynamic.find((entry) => entry.tag === tag)?.value ?? 0
  const offsetOf = (address: number) => toOffset(segments, address)
  const nameAt = (index: number) => readName(file, offsetOf(dynamicValue(DT_STRTAB)) + index)
  const symbols = readSymbols(file, offsetOf(dynamicValue(DT_SYMTAB)), offsetOf(dynamicValue(DT_STRTAB)))
  return {
    machine: file.readUInt16LE(18),
    needed: dynamic.filter(({ tag }) => tag === DT_NEEDED).map(({ value }) => nameAt(value)),
    versions: readVersions(file, offsetOf(dynamicValue(DT_VERNEED)), dynamicValue(DT_VERNEEDNUM)).map(nameAt),
    undefinedSymbols: symbols.filter(({ isDefined }) => !isDefined).map(({ name }) => nameAt(name)),
    definedSymbols: symbols.filter(({ isDefined }) => isDefined).map(({ name }) => nameAt(name)),
    bindsNow: (dynamicValue(DT_FLAGS) & DF_BIND_NOW) !== 0,
    hasExecutableStack: segments.every(({ type, flags }) => type !== PT_GNU_STACK || (flags & PF_X) !== 0),
    hasReadOnlyRelocations: segments.some(({ type }) => type === PT_GNU_RELRO),
  }
}

function readSegments(file: Buffer): Segment[] {
  const [start, size, count] = [Number(file.readBigUInt64LE(32)), file.readUInt16LE(54), file.readUInt16LE(56)]
  return Array.from({ length: count }, (_, index) => {
    const at = start + index * size
    return {
      type: file.readUInt32LE(at),
      flags: file.readUInt32LE(at + 4),
      offset: Number(file.readBigUInt64LE(at + 8)),
      address: Number(file.readBigUInt64LE(at + 16)),
      size: Number(file.readBigUInt64LE(at + 32)),
    }
  })
}

/** Where in the file an address is; 0 for none. */
function toOffset(segments: readonly Segment[], address: number): number {
  const holds = ({ type, address: start, size }: Segment) =>
    type === PT_LOAD && address >= start && address < start + size
  const segment = segments.find(holds)
  return segment ? address - segment.address + segment.offset : 0
}

function readDynamic(file: Buffer, segments: readonly Segment[]): { tag: number; value: number }[] {
  const { offset = 0, size = 0 } = segments.find(({ type }) => type === PT_DYNAMIC) ?? {}
  return Array.from({ length: size / 16 }, (_, index) => ({
    tag: Number(file.readBigInt64LE(offset + 16 * index)),
    value: Number(file.readBigUInt64LE(offset + 16 * index + 8)),
  }))
}

function readName(file: Buffer, at: number): string {
  return file.toString('latin1', at, file.indexOf(0, at))
}

/**
 * The table has no length of its own; linkers put the names right behind it. Entries without a name, the first and those
 * of sections, are left out.
 */
function readSymbols(file: Buffer, start: number, end: number): { name: number; isDefined: boolean }[] {
  const symbols = Array.from({ length: (end - start) / SYMBOL_BYTES }, (_, index) => {
    const at = start + index * SYMBOL_BYTES
    return { name: file.readUInt32LE(at), isDefined: file.readUInt16LE(at + 6) !== 0 }
  })
  return symbols.filter(({ name }) => name !== 0)
}

/** For each library a record, and behind it, linked, one for each of its versions. */
function readVersions(file: Buffer, start: number, libraries: number): number[] {
  const names: number[] = []
  for (let library = 0, at = start; library < libraries; library++, at += file.readUInt32LE(at + 12)) {
    const count = file.readUInt16LE(at + 2)
    for (let version = 0, aux = at + file.readUInt32LE(at + 8); version < count; version++) {
      names.push(file.readUInt32LE(aux + 8))
      aux += file.readUInt32LE(aux + 12)
    }
  }
  return names
}
