// Every client of the matrix, in the order of the table.

import type { Tool } from '../tool.js'
import { BROWSER_TOOLS } from './browser.js'
import { COMMAND_LINE_TOOLS } from './command-line.js'
import { COMPILED_TOOLS } from './compiled.js'
import { DEBIAN_TOOLS } from './debian.js'
import { GIT_TOOLS } from './git.js'
import { JAVA_TOOLS } from './java.js'
import { NODE_TOOLS } from './node.js'
import { NODE_PACKAGE_TOOLS } from './node-packages.js'
import { PYTHON_TOOLS } from './python.js'
import { SCRIPTING_TOOLS } from './scripting.js'

export const TOOLS: readonly Tool[] = [
  ...COMMAND_LINE_TOOLS,
  ...GIT_TOOLS,
  ...NODE_TOOLS,
  ...NODE_PACKAGE_TOOLS,
  ...PYTHON_TOOLS,
  ...COMPILED_TOOLS,
  ...SCRIPTING_TOOLS,
  ...JAVA_TOOLS,
  ...DEBIAN_TOOLS,
  ...BROWSER_TOOLS,
]
