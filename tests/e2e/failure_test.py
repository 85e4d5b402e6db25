#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""failure_test - the README's table of failures: its rows have their tests, and those that no other file has are here."""
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import HOST, TOP, Ground, ask, chat, dial, finish, isolate, ok, receive, refused, request_bytes, skip, wait_for

isolate(120)
RELEASE = os.path.join(TOP, 'build', 'release', 'sluiced')
MEGABYTE = 1 << 20


def read(*path):
    with open(os.path.join(TOP, *path), encoding='utf-8') as file:
        return file.read()


# ---- the table ----

def table():
    rows, on = [], False
    for line in read('README.md').splitlines():
        on = on or line.startswith('<!-- failures:')
        if on and line.startswith('|'):
            rows.append([cell.strip() for cell in line.strip('|').split('|')])
        elif rows:
            break
    rows = rows[2:]
    ok('the table has every row that was promised', len(rows) == 15 and all(len(row) == 5 and all(row) for row in rows), rows)
    alerts = set(re.findall(r'- alert: (\w+)', read('packaging', 'prometheus', 'sluice.rules.yaml')))
    sections = set(re.findall(r'^## (\w+)$', read('docs', 'runbook.md'), re.M))
    for failure, _, _, said, tests in rows:
        named = set(re.findall(r'`(Sluice\w+)`', said))
        ok('%s: its alerts are shipped and in the runbook' % failure, named and named <= alerts & sections, (named, alerts))
        wanted = re.findall(r'`(tests/\w+/\w+)` “([^”]+)”', tests)
        missing = [(name, words) for name, words in wanted
                   if not any(os.path.exists(os.path.join(TOP, name + end)) and words in read(name + end) for end in ('.py', '.c'))]
        ok('%s: its tests are there' % failure, wanted and not missing, missing or tests)


# ---- a server that stops in the middle ----

class Server:
    """GET /body?N: a JSON answer of N bytes, of which the last ones wait for `go`. GET /event?N: an event, likewise."""

    def __init__(self):
        self.go, self.host = threading.Event(), HOST
        self.listener = socket.create_server((HOST, 0), backlog=1024)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            s, _ = self.listener.accept()
            threading.Thread(target=self.one, args=(s,), daemon=True).start()

    def one(self, s):
        head = b''
        try:
            while b'\r\n\r\n' not in head:
                piece = s.recv(65536)
                if not piece:
                    return
                head += piece
            kind, _, size = head.split(b' ')[1].partition(b'?')
            fill = b'%s' % (b'water ' * (int(size or 2) // 6))
            if kind == b'/event':
                s.sendall(b'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n'
                          b'data: {"choices":[{"index":0,"delta":{"content":"' + fill)
                end = b'"}}]}\n\ndata: [DONE]\n\n'
            else:
                s.sendall(b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n'
                          % (len(fill) + 8) + b'{"a":"' + fill)
                end = b'"}'
            if kind != b'/now':
                self.go.wait(60)
            s.sendall(end)
            s.shutdown(socket.SHUT_WR)
            s.recv(1)
        except OSError:
            pass
        finally:
            s.close()


def begin(server, path, small=False):
    s = socket.socket()
    if small:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.settimeout(30)
    s.connect((server.host, server.port))
    s.sendall(request_bytes('GET', path))
    return s


def held(gate):
    return (gate.status() or {}).get('counters', {}).get('memory', 0)


def is_refused(answer):
    return answer.status == 503 and b'"memory"' in answer.body


def memory(ground):
    server = Server()
    body = '/body?%d' % (7 * MEGABYTE // 2)
    with ground.gate(services=[{'name': 'big', 'ports': [server.port]}], limits={'memory': '16M'}) as gate:
        ok('memory: nothing is held of nobody', held(gate) == 0, gate.status())
        first = []
        for i in range(3):
            first.append(begin(server, body))
            ok('memory: %d held answers are on the account' % (i + 1),
               wait_for(lambda: held(gate) >= (i + 1) * 7 * MEGABYTE // 2, 10), held(gate))
        answer = receive(begin(server, body), 20)
        ok('memory: one more is refused in words', is_refused(answer), answer)
        ok('memory: and its memory given back', wait_for(lambda: held(gate) < 14 * MEGABYTE, 5), held(gate))
        few = [begin(server, '/event?30000') for _ in range(120)]
        ok('memory: many small ones fill the rest', wait_for(lambda: held(gate) > 16 * MEGABYTE, 20), held(gate))
        answer = ask(server, 'GET', '/now')
        ok('memory: a new request is refused in words', is_refused(answer), answer)
        ok('memory: what is held stays bounded', held(gate) < 21 * MEGABYTE, held(gate))
        server.go.set()
        done = [receive(s, 20) for s in first]
        ok('memory: who was there before goes on to the end', all(a.complete and a.status == 200 for a in done), done)
        done = [receive(s, 20) for s in few]
        ok('memory: small ones go on, or were refused at their beginning',
           all((a.status == 200 and b'[DONE]' in a.raw) or is_refused(a) for a in done) and any(a.status == 200 for a in done),
           [a for a in done if a.status != 200][:2])
        for s in few + first:
            s.close()
        ok('memory: all is given back', wait_for(lambda: held(gate) == 0, 10), held(gate))
        ok('memory: served again', ask(server, 'GET', '/now').status == 200)
        on_record = [x for x in gate.exchanges() if x.get('exception') == 'memory']
        ok('memory: each refusal is on record', len(on_record) >= 2, gate.exchanges()[-3:])
        slow_readers(server, gate)
        ok('memory: the daemon is sound', gate.sound(), gate.log())
        ok('memory: it stops by itself', gate.stop(), gate.log())


def slow_readers(server, gate):
    """Clients that ask for much and read nothing keep others out for ten seconds at most."""
    body = '/now?%d' % (7 * MEGABYTE // 2)
    crowd = []
    for i in range(4):
        crowd.append(begin(server, body, small=True))
        wait_for(lambda: held(gate) >= min(i + 1, 3) * 3 * MEGABYTE, 10)
    ok('slow readers: they fill the memory', held(gate) >= 9 * MEGABYTE, held(gate))
    ok('slow readers: others are served again when they are reset',
       wait_for(lambda: ask(server, 'GET', body).status == 200, 30, 0.3), (held(gate), gate.log()))
    for s in crowd:
        s.close()


# ---- kernels that lack something ----

def without(ground, call, error, name):
    """The daemon under strace, to which one system call says that it is not there."""
    script = os.path.join(ground.dir, 'lacking')
    with open(script, 'w') as file:
        file.write('#!/bin/sh\nexec strace -D -f -qq -o /dev/null -e trace=%s -e inject=%s:error=%s %s "$@"\n'
                   % (call, call, error, RELEASE))
    os.chmod(script, 0o755)
    return ground.gate(program=script, wait=False, metrics={'listen': '127.0.0.1:9488'})


def kernels(ground):
    if not shutil.which('strace') or not os.path.exists(RELEASE):
        skip('kernels that lack something', 'needs strace and build/release/sluiced')
        return
    with without(ground, 'landlock_create_ruleset', 'ENOSYS', 'Landlock') as gate:
        ok('without Landlock: it guards', wait_for(gate.ready, 30) and refused(chat(ground, 'say BAD')), gate.log())
        said = (gate.status() or {}).get('missing', [])
        ok('without Landlock: status names it', any('Landlock' in line for line in said), said)
        page = ask_metrics()
        ok('without Landlock: the metric of SluiceKernelLacks', re.search(r'^sluice_kernel_lacks [1-9]', page, re.M), page)
        gate.stop()
    with without(ground, 'bpf', 'ENOSYS', 'bpf') as gate:
        status = gate.process.wait(30)
        ok('without bpf: it does not start, and says why', status == 1 and re.search(r'capture: \S', gate.log()), (status, gate.log()))


def ask_metrics():
    import urllib.request
    with urllib.request.urlopen('http://127.0.0.1:9488/metrics', timeout=10) as answer:
        return answer.read().decode()


table()
with open('/proc/sys/net/ipv4/tcp_wmem', 'w') as file:
    file.write('4096 16384 65536')
with Ground('chat') as ground:
    memory(ground)
    kernels(ground)
finish()
