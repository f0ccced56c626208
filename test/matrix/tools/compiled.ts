// Go and Rust.

import { GO_MODULE } from '../registries/go.js'
import type { Tool } from '../tool.js'

const GO_CLIENT = `package main

import (
	"io"
	"net/http"
	"os"
)

func main() {
	response, err := http.Get(os.Args[1])
	if err != nil {
		println(err.Error())
		os.Exit(1)
	}
	io.Copy(os.Stdout, response.Body)
}
`

export const COMPILED_TOOLS: readonly Tool[] = [
  {
    id: 'go-http',
    name: 'Go net/http',
    does: 'GET',
    version: 'go version',
    from: { debian: 'golang-go' },
    prepare: {
      files: { 'client.go': GO_CLIENT },
      script: 'GOCACHE="$PWD/cache" GO111MODULE=off go build -o client client.go',
    },
    work: ({ url }, shared) => ({ script: `'${shared}/client' ${url}/hello` }),
  },
  {
    id: 'go-modules',
    name: 'go mod download',
    does: 'a module of a module proxy',
    version: 'go version',
    from: { debian: 'golang-go' },
    work: ({ url }) => ({
      files: { 'go.mod': `module app.example.test/app\n\ngo 1.18\n\nrequire ${GO_MODULE} v1.0.0\n` },
      // The folder of modules is read-only unless one asks.
      script: `export GOPROXY=${url}/go GONOSUMDB='*' GOFLAGS=-modcacherw GOPATH="$PWD/gopath" GOCACHE="$PWD/cache"
go mod download all
cat gopath/pkg/mod/${GO_MODULE}@v1.0.0/module.go`,
    }),
  },
  {
    id: 'cargo',
    name: 'cargo',
    does: 'fetches a crate of a sparse registry',
    // Sparse registries came with 1.68.
    version: 'cargo --version | grep -E "cargo 1\\.(6[89]|[7-9][0-9]|[1-9][0-9]{2})"',
    from: { debian: 'cargo-web' },
    work: ({ url }) => ({
      files: {
        'Cargo.toml':
          '[package]\nname = "app"\nversion = "1.0.0"\nedition = "2018"\n[dependencies]\nmatrix-crate = { version = "1", registry = "matrix" }\n',
        'src/lib.rs': '',
        '.cargo/config.toml': `[registries.matrix]\nindex = "sparse+${url}/cargo/index/"\n[net]\nretry = 0\n`,
      },
      script: 'CARGO_HOME="$PWD/home" cargo fetch\ncat home/registry/src/*/matrix-crate-1.0.0/src/lib.rs',
    }),
  },
]
