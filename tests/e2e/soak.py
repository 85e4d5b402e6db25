#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""soak.py - a random mix of everything clients do, for a while; descriptors, memory and map entries are flat at the end.

    soak.py [SECONDS] [CLIENTS] [SEED]      60 seconds, 12 clients; not part of the checks
"""
import collections
import os
import random
import signal
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import (ALPHA, CHAT, Ground, chat, dial, finish, isolate, leaks, ok, receive, refused, request_bytes, wait_for)

SECONDS = int(sys.argv[1]) if len(sys.argv) > 1 else 60
CLIENTS = int(sys.argv[2]) if len(sys.argv) > 2 else 12
SEED = int(sys.argv[3]) if len(sys.argv) > 3 else time.time_ns() % 1000000
MEGABYTE = 1 << 20
isolate(SECONDS + 240)

done, wrong, lock = collections.Counter(), [], threading.Lock()


def post(words, stream=True, **more):
    return request_bytes('POST', CHAT, {'stream': stream, 'messages': [{'role': 'user', 'content': words}], **more})


def wanted(good, what):
    if not good:
        with lock:
            wrong.append(what)


def harmless(ground, rng):
    stream = rng.random() < 0.5
    answer = chat(ground, 'say RANDOM', stream, seed=rng.randrange(1000), size=rng.choice((10, 500, 20000)))
    wanted(answer.complete and not refused(answer), 'harmless: %r' % answer)


def forbidden(ground, rng):
    answer = chat(ground, 'say ' + rng.choice(('BAD', 'LAST', 'TOOL', 'REASON')), rng.random() < 0.5)
    wanted(refused(answer) and not leaks(answer.raw, ALPHA), 'forbidden: %r' % answer)


def kept_alive(ground, rng):
    with dial(ground) as s:
        for _ in range(rng.randrange(1, 6)):
            bad = rng.random() < 0.4
            s.sendall(post('say BAD' if bad else 'say GOOD', False))
            answer = receive(s, 20)
            wanted(answer.complete and refused(answer) == bad, 'kept alive: %r' % answer)


def pipelined(ground, rng):
    count = rng.randrange(2, 200)
    with dial(ground) as s:
        s.sendall(request_bytes('GET', '/health') * count)
        data = b''
        s.settimeout(20)
        while data.count(b'HTTP/1.1 200') < count:
            piece = s.recv(65536)
            if not piece:
                break
            data += piece
    wanted(data.count(b'HTTP/1.1 200') == count, 'pipelined: %d of %d' % (data.count(b'HTTP/1.1 200'), count))


def leaves(ground, rng):
    """A client that goes in mid-stream, in mid-request, or before a word."""
    s = dial(ground)
    request = post(rng.choice(('say LONG', 'say LONGBAD', 'say GOOD')), rng.random() < 0.7, delay=0.01)
    s.sendall(request[:rng.choice((0, 10, len(request) // 2, len(request)))])
    time.sleep(rng.random() * 0.4)
    if rng.random() < 0.5:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    elif rng.random() < 0.3:
        s.shutdown(socket.SHUT_WR)
        time.sleep(rng.random() * 0.2)
    s.close()


def garbage(ground, rng):
    with dial(ground) as s:
        s.sendall(rng.choice((bytes(rng.randrange(256) for _ in range(300)), b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', b'GET / HTTP/1.1\r\nHo',
                              b'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n', b'\r\n' * 1000,
                              b'CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n')))
        s.settimeout(rng.random())
        try:
            while s.recv(4096):
                pass
        except OSError:
            pass


def slow_reader(ground, rng):
    with dial(ground) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.sendall(post('say RANDOM', size=200000, seed=rng.randrange(1000)))
        for _ in range(rng.randrange(1, 40)):
            time.sleep(0.01)
            if not s.recv(2048):
                break


def upload(ground, rng):
    body = post('say GOOD', False, padding='x' * rng.choice((1000, 300000, 2 * MEGABYTE)))
    with dial(ground) as s:
        s.settimeout(20)
        for at in range(0, len(body), 100000):
            s.sendall(body[at:at + 100000])
        answer = receive(s, 20)
    wanted(answer.complete, 'upload: %r' % answer)


ACTIONS = (harmless, harmless, forbidden, forbidden, kept_alive, pipelined, leaves, leaves, leaves, garbage, slow_reader, upload)


def client(ground, k, over):
    rng = random.Random(SEED * 1000 + k)
    while not over.is_set():
        action = rng.choice(ACTIONS)
        try:
            action(ground, rng)
        except OSError as problem:
            # a peer that was reset while it wrote is as it should be for these
            wanted(action in (garbage, leaves), '%s: %r' % (action.__name__, problem))
        with lock:
            done[action.__name__] += 1


def crowd(ground, seconds, gate=None):
    over = threading.Event()
    threads = [threading.Thread(target=client, args=(ground, k, over), daemon=True) for k in range(CLIENTS)]
    for t in threads:
        t.start()
    end = time.monotonic() + seconds
    while time.monotonic() < end and (not gate or gate.process.poll() is None):
        time.sleep(min(5, max(0, end - time.monotonic())))
        if gate:
            gate.process.send_signal(signal.SIGHUP)
    over.set()
    for t in threads:
        t.join(30)


def figures(gate):
    """Descriptors, megabytes, dials; once nothing is open."""
    wait_for(lambda: gate.status()['counters']['open'] == 0, 30, 0.5)
    status = gate.status()
    return gate.descriptors(), gate.resident() // MEGABYTE, status['dials'], status['counters']['open']


print('# seed %d, %d seconds, %d clients' % (SEED, SECONDS, CLIENTS), flush=True)
with Ground('chat') as ground:
    with ground.gate(asan='quarantine_size_mb=8', limits={'head_timeout': '1s'}) as gate:
        crowd(ground, min(20, SECONDS / 3), gate)
        first = figures(gate)
        print('# after warming up: %d descriptors, %d MB, %d dials, %d open' % first, flush=True)
        crowd(ground, SECONDS, gate)
        last = figures(gate)
        print('# at the end: %d descriptors, %d MB, %d dials, %d open' % last, flush=True)
        print('# %d turns: %s' % (sum(done.values()), dict(done)), flush=True)
        ok('descriptors are flat', last[0] <= first[0] + 4, (first, last))
        ok('memory is flat', last[1] <= first[1] + 16 + SECONDS // 20, (first, last))
        ok('map entries are flat', last[2] <= first[2] + 1, (first, last))
        ok('no connection is left', last[3] == 0, gate.status())
        ok('every answer was as it should be', not wrong, '%d\n%s' % (len(wrong), '\n'.join(w[:600] for w in wrong[:6])))
        counters = gate.status()['counters']
        ok('no record was lost', counters['records_lost'] == 0, counters)
        listed = len(gate.exchanges())
        ok('as many exchanges on record as counted', listed == counters['exchanges'], (listed, counters['exchanges']))
        ok('the daemon is sound', gate.sound(), gate.log())
        ok('it stops by itself, without a leak', gate.stop(), gate.log())
finish()
