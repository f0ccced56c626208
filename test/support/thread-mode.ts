// Where the relay under test runs: CCR_TEST_THREAD=worker or main; the default of the package unless it is set.

import type { RelayThreadChoice } from '#src/index.js'

const wanted = process.env.CCR_TEST_THREAD
if (wanted !== undefined && wanted !== 'worker' && wanted !== 'main')
  throw new Error(`CCR_TEST_THREAD: ${wanted} is neither worker nor main`)

/** For the options of startRelay() and initUpstreamProxy(). */
export const threadMode: { readonly thread?: RelayThreadChoice } = wanted === undefined ? {} : { thread: wanted }
