#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""upgrade_test - WebSockets are refused; or, where a service is configured so, pass unread, and the record says so.

And what is asked of a server beside its answers: metrics, health, models.
"""
import os
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import ALPHA, HOST, Ground, ask, dial, finish, isolate, ok, read_exactly, request_bytes, wait_for

isolate(120)
ASK = b'GET /v1/realtime HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n\r\n'
SWITCH = b'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n'
METRICS = b'# HELP vllm:num_requests_running Number of requests.\n# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running 0.0\n'
PAGES = {
    b'/metrics': b'text/plain; version=0.0.4; charset=utf-8', b'/openmetrics': b'application/openmetrics-text; version=1.0.0; charset=utf-8',
    b'/health': b'', b'/v1/models': b'application/json', b'/docs': b'text/html; charset=utf-8', b'/favicon.ico': b'image/x-icon',
}


class Server:
    """Switches to raw bytes and sends them back; pages of PAGES otherwise."""

    def __init__(self):
        self.listener = socket.create_server((HOST, 0))
        self.host, self.port = self.listener.getsockname()
        self.last, self.ended = b'', []
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            s, _ = self.listener.accept()
            threading.Thread(target=self.one, args=(s,), daemon=True).start()

    def one(self, s):
        with s:
            head = b''
            while b'\r\n\r\n' not in head:
                try:
                    piece = s.recv(65536)
                except ConnectionResetError:  # a request that was refused
                    return
                if not piece:
                    return
                head += piece
            self.last = head
            path = head.split(b' ')[1]
            if path != b'/v1/realtime':
                kind = PAGES.get(path, b'application/json')
                body = b'' if path == b'/health' else METRICS if b'metrics' in path else b'{"data":[]}' if kind.endswith(b'json') else b'<html>'
                s.sendall(b'HTTP/1.1 200 OK\r\n' + (b'content-type: %s\r\n' % kind if kind else b'') +
                          b'content-length: %d\r\nconnection: close\r\n\r\n' % len(body) + body)
                return
            s.sendall(SWITCH + b'\x81\x02hi')
            try:
                while piece := s.recv(65536):
                    s.sendall(piece)
                self.ended.append('fin')
                s.sendall(b'bye')
            except OSError as problem:
                self.ended.append(type(problem).__name__)


def passes(server, gate):
    words = b'\x81\x16' + ALPHA.encode()
    blob = os.urandom(1 << 20)
    with dial(server) as s:
        s.sendall(ASK)
        head = read_exactly(s, len(SWITCH) + 4)
        ok('the switch and what came with it pass', head == SWITCH + b'\x81\x02hi', head)
        s.sendall(words)
        ok('frames pass, unread', read_exactly(s, len(words)) == words)
        threading.Thread(target=s.sendall, args=(blob,), daemon=True).start()
        ok('a megabyte there and back', read_exactly(s, len(blob)) == blob)
        started = wait_for(lambda: [e['bypass'] for e in gate.events() if 'bypass' in e], 3)
        ok('its beginning is on record', started and started[0]['kind'] == 'START' and started[0]['reason'] == 'upgrade' and
           started[0]['service'] == 'socket', started)
        s.shutdown(socket.SHUT_WR)
        ok('half-closed: the server sees it and has the last word', read_exactly(s, 100) == b'bye' and server.ended == ['fin'], server.ended)
    ended = wait_for(lambda: [e['bypass'] for e in gate.events() if e.get('bypass', {}).get('kind') == 'END'], 3)
    up, down = len(words) + len(blob), len(words) + len(blob) + 4 + 3
    ok('its end, too, with bytes both ways', ended and (int(ended[0]['bytes_up']), int(ended[0]['bytes_down'])) == (up, down) and
       ended[0]['to_unix_nano'] >= ended[0]['from_unix_nano'] > '2', ended)
    counters = gate.status()['counters']
    ok('and they are counted', counters.get('upgrades') == 1 and counters.get('upgrade_bytes') == up + down, counters)
    s = dial(server)
    s.sendall(ASK)
    read_exactly(s, len(SWITCH) + 4)
    left = time.time()
    s.close()
    gone = wait_for(lambda: len([e for e in gate.events() if e.get('bypass', {}).get('kind') == 'END']) == 2, 3)
    ok('a client that leaves: ended and on record after %.1f s' % (time.time() - left), gone, gate.events()[-3:])


def refused(server, gate):
    before = server.last
    with dial(server) as s:
        s.sendall(ASK)
        answer = s.recv(65536)
    ok('without being configured, a WebSocket is refused by name', answer.startswith(b'HTTP/1.1 501 ') and b'"upgrade"' in answer and
       server.last == before, answer)
    h2c = request_bytes('GET', '/v1/models', fields=('Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABk'))
    with dial(server) as s:
        s.sendall(h2c)
        answer = s.recv(65536)
    ok('an offer of h2c does not reach the server, and the request is answered', answer.startswith(b'HTTP/1.1 200') and
       b'h2c' not in server.last and b'HTTP2' not in server.last and b'pgrade' not in server.last, (server.last, answer))


def pages(server, gate):
    for path, kind in PAGES.items():
        answer = ask(server, 'GET', path.decode())
        if path == b'/favicon.ico':
            ok('an image is refused by name', answer.status == 502 and b'content_type' in answer.body, answer)
        else:
            ok('%s passes' % path.decode(), answer.status == 200 and answer.complete and
               answer.fields.get('content-type', '') == kind.decode(), answer)


with Ground('none') as ground:
    server = Server()
    for upgrade, tests in (('pass', (passes, pages)), ('refuse', (refused, pages))):
        with ground.gate(services=[{'name': 'socket', 'ports': [server.port], 'upgrade': upgrade}]) as gate:
            for test in tests:
                test(server, gate)
            ok('the daemon is sound (upgrade: %s)' % upgrade, gate.sound(), gate.log())
            ok('it stops by itself, without a leak', gate.stop(), gate.log())
finish()
