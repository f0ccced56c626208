// Python's clients, as Debian packages them.

import type { Tool, Work } from '../tool.js'

interface PythonClient extends Pick<Tool, 'id' | 'name' | 'does' | 'impossible'> {
  /** The module whose version is asked for; the standard library without it. */
  readonly module?: string
  readonly debian: string
  readonly source: (url: string, host: string, port: number) => string
}

const AIOHTTP = (options: string) => (url: string) =>
  `import aiohttp, asyncio
async def main():
    async with aiohttp.ClientSession(${options}) as session:
        async with session.get('${url}/hello') as response:
            print(await response.text())
asyncio.run(main())`

const CLIENTS: readonly PythonClient[] = [
  {
    id: 'python-urllib',
    name: 'Python urllib',
    does: 'GET',
    debian: 'python3',
    source: (url) => `import urllib.request\nprint(urllib.request.urlopen('${url}/hello').read().decode())`,
  },
  {
    id: 'python-http-client',
    name: 'Python http.client',
    does: 'GET',
    debian: 'python3',
    source: (_, host, port) => `import http.client
connection = http.client.HTTPSConnection('${host}', ${port})
connection.request('GET', '/hello')
print(connection.getresponse().read().decode())`,
    impossible: {
      reason: 'the module reads no variable for a proxy',
      needs: 'set_tunnel() in the code, or urllib.request',
    },
  },
  {
    id: 'python-requests',
    name: 'Python requests',
    does: 'GET',
    module: 'requests',
    debian: 'python3-requests',
    source: (url) => `import requests\nprint(requests.get('${url}/hello').text)`,
  },
  {
    id: 'python-httpx',
    name: 'Python httpx',
    does: 'GET with httpx.Client()',
    module: 'httpx',
    debian: 'python3-httpx',
    source: (url) => `import httpx\nwith httpx.Client() as client: print(client.get('${url}/hello').text)`,
  },
  {
    id: 'python-aiohttp',
    name: 'Python aiohttp, trust_env',
    does: 'GET',
    module: 'aiohttp',
    debian: 'python3-aiohttp',
    source: AIOHTTP('trust_env=True'),
  },
  {
    id: 'python-aiohttp-plain',
    name: 'Python aiohttp',
    does: 'GET',
    module: 'aiohttp',
    debian: 'python3-aiohttp',
    source: AIOHTTP(''),
    impossible: {
      reason: 'it reads the environment only when asked to',
      needs: 'ClientSession(trust_env=True) in the code',
    },
  },
  {
    id: 'python-boto3',
    name: 'Python boto3',
    does: 'sts.get_caller_identity()',
    module: 'boto3',
    debian: 'python3-boto3',
    source: (url) => `import boto3
import botocore.config
once = botocore.config.Config(retries={'total_max_attempts': 1})
keys = dict(aws_access_key_id='none', aws_secret_access_key='none')
print(boto3.client('sts', region_name='us-east-1', endpoint_url='${url}', config=once, **keys).get_caller_identity())`,
  },
  {
    id: 'python-grpcio',
    name: 'Python grpcio',
    does: 'a unary call',
    module: 'grpc',
    debian: 'python3-grpcio',
    source: (_, host, port) => `import grpc
with grpc.secure_channel('${host}:${port}', grpc.ssl_channel_credentials()) as channel:
    print(channel.unary_unary('/matrix.Greeter/Hello')(b'', timeout=20).decode())`,
  },
]

function pythonTool({ module, debian, source, ...rest }: PythonClient): Tool {
  const version =
    module === undefined ? 'python3 --version' : `python3 -c 'import ${module}; print(${module}.__version__)'`
  return { ...rest, version, from: { debian }, work: ({ url, host, port }) => pythonWork(source(url, host, port)) }
}

function pythonWork(source: string): Work {
  return { files: { 'client.py': source }, script: 'python3 client.py' }
}

export const PYTHON_TOOLS: readonly Tool[] = [
  ...CLIENTS.map(pythonTool),
  {
    id: 'pip',
    name: 'pip',
    does: 'installs a wheel',
    version: 'python3 -m pip --version',
    from: { debian: 'python3-pip' },
    work: ({ url }) => ({
      script: `export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CONFIG_FILE=/dev/null
python3 -m pip install --quiet --retries 0 --index-url ${url}/pypi/simple --target installed matrix-package
PYTHONPATH=installed python3 -c 'import matrix_package; print(matrix_package.WORD)'`,
    }),
  },
  {
    id: 'aws',
    name: 'aws',
    does: 'sts get-caller-identity',
    version: 'aws --version',
    from: { debian: 'awscli' },
    work: ({ url }) => ({
      script: `export AWS_ACCESS_KEY_ID=none AWS_SECRET_ACCESS_KEY=none AWS_DEFAULT_REGION=us-east-1 AWS_MAX_ATTEMPTS=1
aws sts get-caller-identity --endpoint-url ${url} --output json`,
    }),
  },
]
