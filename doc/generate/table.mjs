// Rows of Markdown tables.

/** One row; a bar inside a cell is escaped. */
export function row(cells) {
  return `| ${cells.map((cell) => String(cell).replaceAll('|', '\\|')).join(' | ')} |`
}

/** A table: its headings, then its rows. */
export function table(headings, rows) {
  return [headings, headings.map(() => '---'), ...rows].map(row).join('\n')
}
