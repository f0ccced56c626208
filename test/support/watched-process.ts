// The watch over this process, from the import on: a test file that imports this fails on a warning, on a rejection without a
// handler and on an exception that nothing catches, whatever its tests ask for.

import { ProcessWatch } from './process-watch.js'

export const processWatch = new ProcessWatch()
