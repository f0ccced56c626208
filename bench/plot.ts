// Groups of horizontal bars as SVG, in two columns. Each group has its own scale, for its bars are compared with each other.
// The background is drawn too, so that text can be read on any page, light or dark.

interface Bar {
  readonly name: string
  readonly value: number
  /** Stands out. */
  readonly isOurs: boolean
}

export interface Group {
  readonly title: string
  readonly bars: readonly Bar[]
}

export interface Plot {
  readonly title: string
  /** Of what run the figures are. */
  readonly caption: string
  readonly groups: readonly Group[]
}

const COLUMN_WIDTH = 430
const NAME_WIDTH = 178
const BAR_WIDTH = 192
const BAR_HEIGHT = 14
const LINE_HEIGHT = 18
const GROUP_GAP = 16
const MARGIN = 12
const TOP = 75

const STYLE = `<style>
text { font: 12px sans-serif; fill: #1f2328 }
.title { font-size: 16px; font-weight: bold }
.group { font-weight: bold }
.name { text-anchor: end }
.caption { fill: #59636e }
.page { fill: #ffffff }
.ours { fill: #0969da }
.other { fill: #afb8c1 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.caption { fill: #9198a1 }
.page { fill: #0d1117 }
.ours { fill: #58a6ff }
.other { fill: #59636e }
}
</style>`

export function plot({ title, caption, groups }: Plot): string {
  const half = Math.ceil(groups.length / 2)
  const columns = [groups.slice(0, half), groups.slice(half)]
  const width = 2 * COLUMN_WIDTH
  const height = TOP + Math.max(...columns.map(heightOf)) + MARGIN
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">`,
    `<title>${escapeText(title)}</title>`,
    STYLE,
    '<rect class="page" width="100%" height="100%"/>',
    text(MARGIN, 24, title, 'title'),
    text(MARGIN, 42, `Less is better; each group has its own scale. ${caption}`, 'caption'),
    ...columns.flatMap((column, index) => drawColumn(column, MARGIN + index * COLUMN_WIDTH)),
    '</svg>\n',
  ].join('\n')
}

function heightOf(groups: readonly Group[]): number {
  return groups.reduce((height, { bars }) => height + (1 + bars.length) * LINE_HEIGHT + GROUP_GAP, 0)
}

function drawColumn(groups: readonly Group[], x: number): string[] {
  return groups.flatMap(({ title, bars }, index) => {
    const y = TOP + heightOf(groups.slice(0, index))
    const largest = Math.max(...bars.map(({ value }) => value))
    const drawn = bars.flatMap((bar, line) => drawBar(x + NAME_WIDTH, y + (line + 1) * LINE_HEIGHT, bar, largest))
    return [text(x, y, title, 'group'), ...drawn]
  })
}

function drawBar(x: number, y: number, { name, value, isOurs }: Bar, largest: number): string[] {
  const width = Math.round((value / largest) * BAR_WIDTH)
  const size = `width="${width}" height="${BAR_HEIGHT}"`
  return [
    text(x - 6, y, name, 'name'),
    `<rect class="${isOurs ? 'ours' : 'other'}" x="${x}" y="${y - BAR_HEIGHT + 3}" ${size}/>`,
    text(x + width + 5, y, `${value}`, 'value'),
  ]
}

function text(x: number, y: number, content: string, kind: string): string {
  return `<text class="${kind}" x="${x}" y="${y}">${escapeText(content)}</text>`
}

function escapeText(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}
