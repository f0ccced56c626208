// The WebSocket of `ws`, required as the CommonJS that it is. An `import` of `ws` costs twice as much, 20 ms more: Node
// reads each of its files a second time, for the names that they export.

import WebSocket = require('ws')

export = WebSocket
