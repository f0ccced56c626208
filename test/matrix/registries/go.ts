// A Go module proxy: `matrix.example.test/module`. https://go.dev/ref/mod#goproxy-protocol

import { zip } from './archives.js'
import { type Registry, type RegistryOptions, serveFiles } from './registry.js'

export const GO_MODULE = 'matrix.example.test/module'

/** Makes the proxy. The module's package has the word as the constant `Word`. */
export function createGoRegistry({ word }: RegistryOptions): Registry {
  const manifest = `module ${GO_MODULE}\n\ngo 1.18\n`
  const archive = zip({
    [`${GO_MODULE}@v1.0.0/go.mod`]: manifest,
    [`${GO_MODULE}@v1.0.0/module.go`]: `package module\n\nconst Word = "${word}"\n`,
  })
  return serveFiles(() => ({
    [`/${GO_MODULE}/@v/list`]: 'v1.0.0\n',
    [`/${GO_MODULE}/@v/v1.0.0.info`]: JSON.stringify({ Version: 'v1.0.0', Time: '2020-01-01T00:00:00Z' }),
    [`/${GO_MODULE}/@v/v1.0.0.mod`]: manifest,
    [`/${GO_MODULE}/@v/v1.0.0.zip`]: archive,
  }))
}
