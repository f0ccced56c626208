#!/usr/bin/env node
// The command. It is no file of the build, so that npm links it in a clone that is not built yet.

import '../dist/cli/main.js'
