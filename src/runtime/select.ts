// The one place that asks which runtime this is.

import { bunRuntime } from './bun.js'
import { nodeRuntime } from './node.js'
import type { Runtime } from './runtime.js'

/** The adapter for the runtime at hand. */
export const runtime: Runtime = 'Bun' in globalThis ? bunRuntime : nodeRuntime
