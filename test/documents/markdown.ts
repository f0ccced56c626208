// Reads what the tests of the documents need out of Markdown: tables, fenced blocks, links and anchors.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** A fenced block. */
export interface FencedBlock {
  /** The word behind the fence: `sh`, `console`, `js`; empty without one. */
  readonly language: string
  /** Where its first line stands, from 1. */
  readonly line: number
  readonly text: string
}

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))

/** A file of the repository, by its path from the root. */
export function documentText(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8')
}

/** Every document that people read from top to bottom: at the root, in doc/, and the README of each folder. */
export function allDocuments(): string[] {
  const folders = ['', 'doc', 'gateway', 'deploy', 'bench', 'examples', ...foldersIn('examples')]
  return folders.flatMap((folder) => namesIn(folder).map((name) => join(folder, name)))
}

/** Those whose commands are for the reader; a change log tells of what was. */
export function commandDocuments(): string[] {
  return allDocuments().filter((path) => path !== 'CHANGELOG.md')
}

function namesIn(folder: string): string[] {
  if (!existsSync(join(ROOT, folder))) return []
  return readdirSync(join(ROOT, folder))
    .filter((name) => name.endsWith('.md'))
    .sort()
}

function foldersIn(folder: string): string[] {
  if (!existsSync(join(ROOT, folder))) return []
  return readdirSync(join(ROOT, folder), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => join(folder, name))
}

/** What stands under a heading that occurs once, until the next of its level. */
export function sectionOf(markdown: string, heading: string): string {
  const [, rest, more] = `\n${markdown}`.split(`\n${heading}\n`)
  if (rest === undefined || more !== undefined) throw new Error(`there is not one "${heading}"`)
  const level = heading.split(' ', 1)[0]
  return rest.split(`\n${level} `, 1)[0] as string
}

/** The cells of the first table behind a text that occurs once, without its heading. */
export function tableRows(markdown: string, behind: string): string[][] {
  const [, rest, more] = markdown.split(behind)
  if (rest === undefined || more !== undefined) throw new Error(`there is not one "${behind}"`)
  const table = /^\|.*\n\|[-| :]+\n((?:\|.*\n)+)/m.exec(rest)?.[1]
  if (table === undefined) throw new Error(`no table behind "${behind}"`)
  return table
    .trimEnd()
    .split('\n')
    .map((row) => row.slice(1, -1).split(/(?<!\\)\|/))
    .map((cells) => cells.map((cell) => cell.trim()))
}

/** Every fenced block, in order; one in a list without its indentation. */
export function fencedBlocks(markdown: string): FencedBlock[] {
  const blocks: FencedBlock[] = []
  for (const match of markdown.matchAll(/^( *)```(\w*)\n([\s\S]*?)^\1```$/gm)) {
    const [, indentation = '', language = '', text = ''] = match
    const line = markdown.slice(0, match.index).split('\n').length + 1
    blocks.push({ language, line, text: text.replaceAll(new RegExp(`^${indentation}`, 'gm'), '') })
  }
  return blocks
}

/** Markdown without fenced blocks and code spans: what is prose. */
export function proseOf(markdown: string): string {
  return withoutBlocks(markdown).replaceAll(/`[^`\n]*`/g, '``')
}

/** Targets of links, as they are written. */
export function linkTargets(markdown: string): string[] {
  return [...proseOf(markdown).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target as string)
}

/** The anchors of the headings, as GitHub makes them. */
export function anchorsOf(markdown: string): string[] {
  const headings = withoutBlocks(markdown).matchAll(/^#{1,6} (.+)$/gm)
  return [...headings].map(([, heading]) => {
    const text = (heading as string).replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase()
    return text.replaceAll(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-')
  })
}

function withoutBlocks(markdown: string): string {
  return markdown.replaceAll(/^( *)```[\s\S]*?^\1```$/gm, '')
}
