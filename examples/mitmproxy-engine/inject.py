"""Puts the credential of a session into its requests to one host."""

import os

from mitmproxy import http

CREDENTIALS = {("session", "api.example.com"): f"Bearer {os.environ['API_KEY']}"}


class Inject:
    def __init__(self):
        self.tunnels = {}

    def http_connect(self, flow: http.HTTPFlow):
        """The gateway names the session in the CONNECT; it lies behind the gateway alone, so that nobody else can."""
        session = flow.request.headers.get("X-Ccr-Session")
        self.tunnels[flow.client_conn.id] = (session, flow.request.host)

    def client_disconnected(self, client):
        self.tunnels.pop(client.id, None)

    def requestheaders(self, flow: http.HTTPFlow):
        session, host = self.tunnels.get(flow.client_conn.id, (None, None))
        credential = CREDENTIALS.get((session, host))
        # A request for another host inside the tunnel gets nothing.
        if credential is not None and flow.request.pretty_host == host:
            flow.request.headers["Authorization"] = credential


addons = [Inject()]
