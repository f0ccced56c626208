"""An address on which connections are never accepted: prints its port, and holds it until standard input ends.

A socket that listens and accepts nothing has a queue; once that is full Linux drops what else comes (listen(2)).
"""

import socket
import sys

listener = socket.socket()
listener.bind(('127.0.0.1', 0))
listener.listen(0)
queue = []
while True:
    client = socket.socket()
    client.settimeout(0.5)
    queue.append(client)
    try:
        client.connect(listener.getsockname())
    except TimeoutError:
        break
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
