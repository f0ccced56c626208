// The child's end of a process of the bench: one JSON object a line in, one a line out. It ends when its input does, so that it
// cannot outlive the bench.

import { createInterface } from 'node:readline'

/** What can be asked of the process. */
export type Handlers = Readonly<Record<string, (argument: never) => unknown>>

interface Question {
  readonly id: number
  readonly method: string
  readonly argument: never
}

/** Answers questions until the input ends. */
export function serve(handlers: Handlers): void {
  const lines = createInterface({ input: process.stdin })
  lines.on('line', (line) => {
    const { id, method, argument } = JSON.parse(line) as Question
    answer(handlers, method, argument).then(
      (value) => say({ id, value }),
      (error: unknown) => say({ id, failure: error instanceof Error ? `${error.stack}` : String(error) }),
    )
  })
  lines.on('close', () => process.exit(0))
}

async function answer(handlers: Handlers, method: string, argument: never): Promise<unknown> {
  const handler = handlers[method]
  if (handler === undefined) throw new Error(`no such method: ${method}`)
  return handler(argument)
}

function say(message: object): void {
  process.stdout.write(`${JSON.stringify(message)}\n`)
}
