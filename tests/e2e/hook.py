# SPDX-License-Identifier: Apache-2.0
"""hook.py - a webhook, for the tests of alerts."""
import http.server
import json
import threading
import time

from gate import HOST, wait_for


class Hook:
    """Takes what is posted. how: 'ok', 'redirect', 'error', 'hang'."""

    def __init__(self):
        self.how, self.messages, self.asked, self.heads = 'ok', [], [], []
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers['content-length']))
                hook.asked.append(self.path)
                hook.heads.append(dict(self.headers))
                if hook.how == 'hang':
                    time.sleep(30)
                if hook.how == 'ok':
                    hook.messages.append(json.loads(body))
                self.send_response({'ok': 204, 'redirect': 307, 'error': 503}.get(hook.how, 500))
                if hook.how == 'redirect':
                    self.send_header('location', '/elsewhere')
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer((HOST, 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def said(self):
        return [(a['alert'], a['status']) for m in list(self.messages) for a in m['alerts']]

    def wait(self, name, status, count=1, seconds=20):
        return wait_for(lambda: self.said().count((name, status)) >= count, seconds)
