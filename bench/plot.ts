// A benchmark's chart as SVG: horizontal bars, a group for each cell, a colour for each contestant.

import type { Chart } from './benchmark.js'
import { rounded } from './figures.js'

const BAR_HEIGHT = 14
const GROUP_GAP = 30
const LEFT = 200
const BARS_WIDTH = 520
const RIGHT = 80
const TOP = 44
/** Told apart by most people who do not see all colours. */
const COLOURS = ['#0072b2', '#56b4e9', '#999999', '#d55e00', '#e69f00', '#f0e442', '#009e73']

export function plot({ title, unit, groups }: Chart): string {
  const largest = Math.max(...groups.flatMap(({ bars }) => Object.values(bars)).filter(Number.isFinite))
  const names = [...new Set(groups.flatMap(({ bars }) => Object.keys(bars)))]
  const lines: string[] = []
  let y = TOP
  for (const group of groups) {
    lines.push(text(10, y, group.title, 'font-weight="bold"'))
    for (const [name, value] of Object.entries(group.bars)) {
      y += BAR_HEIGHT + 2
      lines.push(...bar(y, name, value, value / largest, COLOURS[names.indexOf(name) % COLOURS.length] ?? ''))
    }
    y += GROUP_GAP
  }
  const size = `width="${LEFT + BARS_WIDTH + RIGHT}" height="${y}"`
  const heading = text(10, 20, `${title} (${unit})`, 'font-size="15" font-weight="bold"')
  const background = '<rect width="100%" height="100%" fill="#ffffff"/>'
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" ${size} font-family="sans-serif" font-size="11">`,
    background,
    heading,
    ...lines,
    '</svg>\n',
  ].join('\n')
}

function bar(y: number, name: string, value: number, share: number, colour: string): string[] {
  const width = Math.max(1, Math.round(share * BARS_WIDTH)) || 1
  return [
    text(LEFT - 6, y, name, 'text-anchor="end"'),
    `<rect x="${LEFT}" y="${y - BAR_HEIGHT + 3}" width="${width}" height="${BAR_HEIGHT}" fill="${colour}"/>`,
    text(LEFT + width + 5, y, `${rounded(value)}`, ''),
  ]
}

function text(x: number, y: number, content: string, attributes: string): string {
  return `<text x="${x}" y="${y}" ${attributes}>${escapeText(content)}</text>`
}

function escapeText(content: string): string {
  return content.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;')
}
