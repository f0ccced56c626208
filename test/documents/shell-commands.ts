// The commands of a fenced block: with what is shown behind each in a `console` block, alone in an `sh` block.

/** A command without the comment behind it. */
export function withoutComment(command: string): string {
  return command.replace(/ +# .*$/, '')
}

/** A command, and what the document shows that it writes. */
export interface ShellCommand {
  readonly text: string
  /** Undefined where nothing is said about it. */
  readonly shown: string | undefined
}

const PROMPT = /^(?:\w+)?[$#] (.*)$/

/** Lines behind a prompt are commands; a command goes on behind a backslash and in a here-document. */
export function consoleCommands(block: string): ShellCommand[] {
  const commands: { text: string; shown: string }[] = []
  for (const line of block.trimEnd().split('\n')) {
    const command = PROMPT.exec(line)?.[1]
    const last = commands.at(-1)
    if (command !== undefined) commands.push({ text: command, shown: '' })
    else if (last === undefined) throw new Error(`no prompt before: ${line}`)
    else if (last.shown === '' && !isWhole(last.text)) last.text += `\n${line.replace(/^> /, '')}`
    else last.shown += `${line}\n`
  }
  return commands
}

/** Every line is a command, unless it goes on. */
export function scriptCommands(block: string): ShellCommand[] {
  const commands: string[] = []
  let open = false
  for (const line of block.trimEnd().split('\n')) {
    if (open) commands.push(`${commands.pop()}\n${line}`)
    else if (line !== '' && !line.startsWith('#')) commands.push(line)
    else continue
    open = !isWhole(commands.at(-1) as string)
  }
  return commands.map((text) => ({ text, shown: undefined }))
}

function isWhole(command: string): boolean {
  if (command.endsWith('\\')) return false
  const word = /<<-?\s*['"]?(\w+)['"]?/.exec(command)?.[1]
  return word === undefined || new RegExp(`\n${word}$`).test(command)
}
