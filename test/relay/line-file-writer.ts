// Appends lines to the file of its argument until the size limit of the process stops it, lifts the limit, and appends one more.

import { execFileSync } from 'node:child_process'
import { LineFile } from '#src/relay/line-file.js'

const losses: string[] = []
let onLoss = (): void => {}
const lost = new Promise<void>((resolve) => {
  onLoss = resolve
})
const file = new LineFile(process.argv[2] ?? '', (reason) => {
  losses.push(reason)
  onLoss()
})
for (let count = 1_000; count < 1_200; count++) file.append(`line ${count}`)
await lost
execFileSync('prlimit', ['--pid', `${process.pid}`, '--fsize=unlimited:'])
file.append('after')
await file.close()
process.stdout.write(JSON.stringify({ losses, counts: file.counts }))
