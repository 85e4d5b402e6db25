#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""bad_input_test - strangers on both sides: never a crash, never a pass."""
import os
import random
import socket
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import (ALPHA, CHAT, FIXTURES, Answer, Ground, ask, dial, finish, in_threads, isolate, leaks, ok, parse_answer,
                  receive, request_bytes)

isolate(540)
rng = random.Random(11)
BODY = b'{"messages":[{"role":"user","content":"x"}]}'

# what a client may send; None: it just closes
REQUESTS = {
    'nothing': b'',
    'half a request line': b'POST /v1/ch',
    'half a head': b'POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-',
    'half a body': b'POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{"mess',
    'random bytes': bytes(rng.randrange(256) for _ in range(20000)),
    'zeros': bytes(10000),
    'line breaks': b'\r\n' * 20000,
    'TLS hello': b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + bytes(500),
    'HTTP/2 preface': b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00',
    'no version': b'GET /\r\n\r\n',
    'HTTP/3.7': b'GET / HTTP/3.7\r\nHost: a\r\n\r\n',
    'oversize request line': b'GET /' + b'a' * 300000 + b' HTTP/1.1\r\nHost: a\r\n\r\n',
    'oversize head': b'GET / HTTP/1.1\r\nHost: a\r\n' + b''.join(b'x-%d: %s\r\n' % (i, b'y' * 100) for i in range(20000)) + b'\r\n',
    'endless field': b'GET / HTTP/1.1\r\nHost: a\r\nx: ' + b'y' * 2000000,
    'both framings': b'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n',
    'two lengths': b'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde',
    'negative length': b'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n',
    'huge length': b'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n',
    'bad chunk': b'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n',
    'folded field': b'GET / HTTP/1.1\r\nHost: a\r\nx: b\r\n c\r\n\r\n',
    'zero in a field': b'GET / HTTP/1.1\r\nHost: a\r\nx: b\x00c\r\n\r\n',
    'bare CR': b'GET / HTTP/1.1\rHost: a\r\r',
    'CONNECT': b'CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n',
    'upgrade': b'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n',
}


def send_and_leave(ground, data, how):
    """Sends garbage, then leaves: 'wait' reads what comes, 'close', 'half' closes one direction, 'reset'."""
    try:
        with dial(ground, timeout=5) as s:
            s.settimeout(3)
            s.sendall(data)
            if how == 'reset':
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
                return b''
            if how == 'half':
                s.shutdown(socket.SHUT_WR)
            if how != 'close':
                return receive(s, 2).raw
    except OSError:
        pass
    return b''


def alive(ground):
    answer = ask(ground, path=CHAT + '?raw=clean-stream', body={'stream': True})
    return answer.complete and b' river' in answer.body


def rows():
    with open(os.path.join(FIXTURES, 'expect.tsv'), encoding='utf-8') as file:
        return [line.rstrip('\n').split('\t') for line in file if not line.startswith('#')]


def through(ground, name, options):
    """The fixture's own request, sent through the gate to a server that answers with the fixture."""
    with open(os.path.join(FIXTURES, name + '.req'), 'rb') as file:
        method, target, rest = file.read().split(b' ', 2)
    try:
        with dial(ground, timeout=10) as s:
            s.sendall(method + b' ' + target + b'?raw=' + name.encode() + b'&' + options.encode() + b' ' + rest)
            return receive(s, 10, method.decode())
    except OSError as problem:
        answer = Answer()
        answer.error = str(problem)
        return answer


with Ground('fake') as ground:
    with ground.gate() as gate:
        for name, data in REQUESTS.items():
            for how in ('wait', 'close', 'half', 'reset'):
                send_and_leave(ground, data, how)
            ok('client sends %s: the daemon is sound and serves others' % name, gate.sound() and alive(ground), gate.log())
        in_threads(64, lambda i: send_and_leave(ground, rng.choice(list(REQUESTS.values())), rng.choice(('wait', 'reset'))), 60)
        ok('64 strangers at once', gate.sound() and alive(ground), gate.log())

        for name, codes, _, phrase, *_ in rows():
            with open(os.path.join(FIXTURES, name + '.http'), 'rb') as file:
                raw = file.read()
            wrong = []
            for options in ('end=fin', 'piece=1&end=fin', 'piece=29&gap=0.0005&end=fin', 'end=rst', 'end=keep'):
                if options == 'end=keep' and (name.startswith('bad-') or 'close' in name or 'http10' in name):
                    continue  # no end to be seen
                answer = through(ground, name, options)
                if phrase != '-' and (leaks(answer.raw, phrase) or leaks(answer.body, phrase)):
                    wrong.append('%s: leaked %r' % (options, answer))
                if codes == '12' and answer.complete and answer.raw == raw:
                    wrong.append('%s: passed %r' % (options, answer))
                if codes == '0' and 'rst' not in options and answer.raw != raw:
                    wrong.append('%s: not as it was %r' % (options, answer))
            if not gate.sound():
                wrong.append(gate.log())
            ok('server sends %s' % name, not wrong, '\n'.join(wrong[:3]))
            if gate.process.poll() is not None:
                gate.start()
        for stop in range(1, 700, 23):
            for end in ('fin', 'rst'):
                answer = ask(ground, path='%s?raw=hit-over-events&stop=%d&end=%s' % (CHAT, stop * 3, end), body={'stream': True})
                if leaks(answer.raw, ALPHA):
                    ok('server leaves after %d bytes by %s' % (stop * 3, end), False, answer)
        ok('server leaves anywhere: sound', gate.sound() and alive(ground), gate.log())
        ok('it stops by itself, without a leak', gate.stop(), gate.log())
finish()
