// Runs the `run:` steps of a workflow's only job as a runner of GitHub does, as far as the example needs it, and fails at what it
// does not know:
// https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax
// https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'

type Variables = Record<string, string>

interface Step {
  readonly name: string
  readonly run: string
  readonly shell?: 'bash'
  readonly if?: 'always()'
  readonly env?: Variables
}

interface Workflow {
  readonly jobs: Readonly<Record<string, { readonly env?: Variables; readonly steps: readonly Step[] }>>
}

export interface JobOptions {
  readonly file: string
  /** Holds the runner's temp folder and the workspace. */
  readonly directory: string
  /** What the machine has; the job is given nothing else of the test's own environment. */
  readonly machine: Readonly<Variables>
  readonly secrets: Readonly<Variables>
  readonly vars: Readonly<Variables>
}

export interface StepOutcome {
  readonly name: string
  readonly exitCode: number | null
  readonly output: string
}

/** Runs the job; the outcomes of the steps that were run. */
export async function runWorkflow(options: JobOptions): Promise<StepOutcome[]> {
  const workflow = parse(readFileSync(options.file, 'utf8')) as Workflow
  const [job, ...others] = Object.values(workflow.jobs)
  assert.ok(job !== undefined && others.length === 0, 'one job')
  const temp = join(options.directory, 'temp')
  const workspace = join(options.directory, 'workspace')
  for (const folder of [temp, workspace]) mkdirSync(folder)
  const contexts = { secrets: options.secrets, vars: options.vars }
  const jobEnv: Variables = { ...options.machine, CI: 'true', RUNNER_TEMP: temp, GITHUB_WORKSPACE: workspace }
  Object.assign(jobEnv, evaluated(job.env, contexts))
  const outcomes: StepOutcome[] = []
  for (const step of job.steps) {
    assertKnown(step)
    const hasFailed = outcomes.some(({ exitCode }) => exitCode !== 0)
    if (hasFailed && step.if !== 'always()') continue
    const envFile = join(temp, 'set_env')
    writeFileSync(envFile, '')
    const env = { ...jobEnv, ...evaluated(step.env, contexts), GITHUB_ENV: envFile }
    outcomes.push(await runStep(step, env, temp, workspace))
    // The variables are for the steps behind.
    Object.assign(jobEnv, parseEnvironmentFile(readFileSync(envFile, 'utf8')))
    rmSync(envFile)
  }
  return outcomes
}

function assertKnown(step: Step): void {
  const unknown = Object.keys(step).filter((key) => !['name', 'run', 'shell', 'if', 'env'].includes(key))
  assert.deepEqual(unknown, [], step.name)
  assert.ok(step.shell === undefined || step.shell === 'bash')
  assert.ok(step.if === undefined || step.if === 'always()')
}

/** The step is over when its shell is, although others may still hold its output. */
async function runStep({ name, run, shell }: Step, env: Variables, temp: string, cwd: string): Promise<StepOutcome> {
  const script = join(temp, 'step.sh')
  writeFileSync(script, run)
  const options = shell === 'bash' ? ['--noprofile', '--norc', '-eo', 'pipefail'] : ['-e']
  const child = spawn('bash', [...options, script], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes: Buffer) => (output += bytes))
  const [exitCode] = (await once(child, 'exit')) as [number | null]
  // What was written before the end lies in the pipes still.
  await new Promise((resolve) => setImmediate(resolve))
  return { name, exitCode, output }
}

/** Only names of these contexts: a job's env knows neither `runner` nor `env`. */
function evaluated(env: Variables = {}, contexts: Readonly<Record<string, Readonly<Variables>>>): Variables {
  const evaluate = (text: string): string =>
    `${text}`.replace(/\$\{\{(.*?)\}\}/g, (_, expression: string) => {
      const [, context = '', name = ''] = /^ (\w+)\.(\w+) $/.exec(expression) ?? []
      const value = contexts[context]?.[name]
      assert.ok(value !== undefined, `an expression that is not known: ${expression}`)
      return value
    })
  return Object.fromEntries(Object.entries(env).map(([name, text]) => [name, evaluate(text)]))
}

/** `NAME=value`, or `NAME<<DELIMITER`, the lines of the value, and the delimiter. */
function parseEnvironmentFile(text: string): Variables {
  const lines = text.split('\n')
  const variables: Variables = {}
  for (let line = lines.shift(); line !== undefined; line = lines.shift()) {
    if (line === '') continue
    const [, name = '', sign, rest = ''] = /^([^=<]+)(=|<<)(.*)$/.exec(line) ?? []
    assert.ok(sign !== undefined, `no line of an environment file: ${line}`)
    assert.notEqual(name, 'NODE_OPTIONS', 'GitHub refuses NODE_OPTIONS')
    assert.doesNotMatch(name, /^(?:GITHUB|RUNNER)_/, 'GitHub keeps its own variables')
    variables[name] = sign === '=' ? rest : takeUntil(lines, rest)
  }
  return variables
}

function takeUntil(lines: string[], delimiter: string): string {
  const end = lines.indexOf(delimiter)
  assert.notEqual(end, -1, `no line ${delimiter}`)
  const value = lines.splice(0, end + 1)
  return value.slice(0, -1).join('\n')
}
