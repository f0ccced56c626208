// The files of deploy/ held against each other and against the program: ports, paths and names cannot drift apart unseen.

import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { createCertificateAuthority, issueServerCertificate, parseGatewayConfig } from 'ccr-upstream-gateway'
import { parse, parseAllDocuments } from 'yaml'
import { createTempDirectory } from '../support/temp-dir.js'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8')

const FOLDER = 'deploy/kubernetes'
interface Manifest {
  readonly kind: string
  readonly metadata: { readonly name: string }
  // biome-ignore lint/suspicious/noExplicitAny: manifests have no types here
  readonly spec: any
  readonly data?: Record<string, string>
}
const manifests = readdirSync(join(ROOT, FOLDER)).flatMap((name) => {
  return parseAllDocuments(read(join(FOLDER, name))).map((document) => {
    assert.deepEqual([document.errors, document.warnings], [[], []], name)
    return document.toJS() as Manifest
  })
})
const only = (kind: string): Manifest => {
  const found = manifests.filter((manifest) => manifest.kind === kind)
  assert.equal(found.length, 1, kind)
  return found[0] as Manifest
}
const pod = only('Deployment').spec.template
const [container] = pod.spec.containers
const portOf = (name: string) => container.ports.find((port: { name: string }) => port.name === name)?.containerPort

test('the manifests name each other: selectors, targets, ports', () => {
  const labels = pod.metadata.labels
  assert.deepEqual(only('Deployment').spec.selector.matchLabels, labels)
  assert.deepEqual(only('Service').spec.selector, labels)
  assert.deepEqual(only('PodDisruptionBudget').spec.selector.matchLabels, labels)
  assert.deepEqual(only('NetworkPolicy').spec.podSelector.matchLabels, labels)
  assert.equal(only('HorizontalPodAutoscaler').spec.scaleTargetRef.name, only('Deployment').metadata.name)
  const named = [
    ...only('Service').spec.ports.map((port: { targetPort: string }) => port.targetPort),
    ...only('NetworkPolicy').spec.ingress.flatMap((rule: { ports: { port: string }[] }) =>
      rule.ports.map(({ port }) => port),
    ),
    container.readinessProbe.httpGet.port,
    container.livenessProbe.httpGet.port,
  ]
  for (const name of named) assert.equal(typeof portOf(name), 'number', name)
  assert.ok(only('HorizontalPodAutoscaler').spec.minReplicas >= 2)
  assert.ok(container.resources.requests.cpu && container.resources.limits.memory)
})

test('the pod is not root, writes nowhere and holds no capability', () => {
  assert.equal(pod.spec.securityContext.runAsNonRoot, true)
  assert.deepEqual(container.securityContext, {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'] },
  })
  const user = /^USER (\d+):\d+$/m.exec(read('deploy/Containerfile'))?.[1]
  assert.equal(Number(user), pod.spec.securityContext.runAsUser)
  assert.ok(Number(user) > 0)
  assert.equal(pod.spec.automountServiceAccountToken, false)
})

test("the config in the ConfigMap is good, and its files, ports and probes are the pod's", async (context) => {
  const folder = createTempDirectory(context, 'deploy')
  const file = container.args[2] as string
  const mounts = container.volumeMounts.map(({ mountPath }: { mountPath: string }) => mountPath)
  const text = only('ConfigMap').data?.[basename(file)] as string
  assert.ok(mounts.includes(dirname(file)))
  const authority = await createCertificateAuthority()
  const server = await issueServerCertificate(authority, ['gateway'])
  const contents: Record<string, string> = {
    '../ca/ca.pem': authority.certificatePem,
    '../ca/ca.key': authority.privateKeyPem(),
    '../tls/tls.crt': server.certificatePem,
    '../tls/tls.key': server.privateKeyPem,
    '../secrets/example-api-key': 'key',
  }
  const baseDir = join(folder, relative('/', dirname(file)))
  for (const [name, content] of Object.entries(contents)) {
    assert.ok(text.includes(name), name)
    assert.ok(mounts.includes(dirname(resolve(dirname(file), name))), name)
    mkdirSync(dirname(join(baseDir, name)), { recursive: true })
    writeFileSync(join(baseDir, name), content)
  }
  const config = parseGatewayConfig(text, { file: 'gateway.yaml', env: {}, baseDir })
  assert.equal(config.listen.port, portOf('tunnels'))
  assert.equal(config.admin?.listen.port, portOf('admin'))
  assert.deepEqual(
    [container.readinessProbe.httpGet.path, container.livenessProbe.httpGet.path],
    ['/readyz', '/healthz'],
  )
  assert.deepEqual(container.args.slice(0, 2), ['serve', '--config'])
})

test('the container file runs the program of the package, on the ports of the manifests', () => {
  const text = read('deploy/Containerfile')
  const bin = JSON.parse(read('gateway/package.json')).bin['ccr-upstream-gateway']
  assert.ok(text.includes(`ENTRYPOINT ["node", "/app/node_modules/ccr-upstream-gateway/${bin}"]`))
  assert.match(text, new RegExp(`^EXPOSE ${portOf('tunnels')} ${portOf('admin')}$`, 'm'))
  assert.deepEqual(parse(/^CMD (.*)$/m.exec(text)?.[1] ?? ''), container.args)
})
