// The commands of deploy/agent-pod.yaml, run in the folders that its pod would mount.

import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'
import { ORIGIN_HOST, Stage } from '../demo/stage.js'
import { RunningProcess, run } from '../support/cli-process.js'
import { createTempDirectory } from '../support/temp-dir.js'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8')

test("the commands of the agent's pod give the agent a proxy and leave no token behind", {
  timeout: 1_800_000,
}, async (t) => {
  const { spec } = parse(read('deploy/agent-pod.yaml'))
  const [[relay], [agent]] = [spec.initContainers, spec.containers]
  const stage = new Stage()
  t.after(() => stage.close())
  await stage.open()
  const root = createTempDirectory(t, 'pod')
  for (const { mountPath } of relay.volumeMounts) mkdirSync(join(root, mountPath), { recursive: true })
  writeFileSync(join(root, '/run/secret/session_token'), stage.token)
  // The same words, with the pod's paths inside of the folder.
  const inside = (command: string[]) => command.map((word) => word.replaceAll(/(?<=^|[ <>.])\/run\//g, `${root}/run/`))
  const given = relay.env.map(({ name, value }: Variable) => [name, inside([value])[0]])
  const { PATH, CCR_UPSTREAM_PROXY_URL, CLAUDE_CODE_REMOTE_SESSION_ID } = stage.environment
  const env = {
    ...Object.fromEntries(given),
    PATH: [createAgent(root, stage.nodeClient), PATH].join(delimiter),
    CCR_UPSTREAM_PROXY_URL,
    CLAUDE_CODE_REMOTE_SESSION_ID,
    CCR_UPSTREAM_PROXY_GATEWAY_CA: join(stage.folder, 'gateway-root.pem'),
  }
  const [file, ...args] = inside(relay.command)
  const sidecar = new RunningProcess(t, file as string, args, { env })
  await untilProbed(t, inside(relay.startupProbe.exec.command), sidecar)
  const [agentFile, ...agentArgs] = inside(agent.command)
  const { stdout, stderr } = await run(t, agentFile as string, agentArgs, { env: { PATH: env.PATH } })
  assert.match(stdout, /authorization: Bearer demo-secret-/)
  assert.equal(stderr + sidecar.stderr, '')
  assert.deepEqual(readdirSync(join(root, '/run/ccr-token')), [])
  sidecar.kill('SIGTERM')
  assert.equal((await sidecar.ended).exitCode, 0)
  assert.deepEqual(readdirSync(join(root, '/run/ccr')), ['environment.sh'])
})

interface Variable {
  readonly name: string
  readonly value: string
}

function createAgent(root: string, [node, client]: readonly [string, string]): string {
  const folder = join(root, 'bin')
  mkdirSync(folder)
  writeFileSync(join(folder, 'agent'), `#!/bin/sh\nexec '${node}' '${client}' https://${ORIGIN_HOST}/v1/me\n`, {
    mode: 0o755,
  })
  return folder
}

/** Asks again and again, as the kubelet does. */
async function untilProbed(t: TestContext, [file, ...args]: string[], sidecar: RunningProcess): Promise<void> {
  let isOver = false
  void sidecar.ended.then(() => {
    isOver = true
  })
  for (;;) {
    if ((await run(t, file as string, args, { env: { PATH: process.env.PATH } })).exitCode === 0) return
    assert.ok(!isOver, sidecar.stderr)
  }
}
