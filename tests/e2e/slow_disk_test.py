#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""slow_disk_test - while a refusal waits for its record: nobody hears of it, and nobody who comes or goes is lost."""
import os
import shutil
import signal
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import (ALPHA, CHAT, Ground, chat, dial, finish, isolate, leaks, ok, receive, refused, request_bytes, run,
                  skip, wait_for)

isolate(180)
SECONDS = 0.4
SLOW = '''#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
static void wait(void) { nanosleep(&(struct timespec){ .tv_nsec = %d }, 0); }
int fdatasync(int fd) { wait(); return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd); }
int fsync(int fd) { wait(); return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd); }
''' % (SECONDS * 1e9)


def post(words, stream=False, **more):
    return request_bytes('POST', CHAT, {'stream': stream, 'messages': [{'role': 'user', 'content': words}], **more})


def blocked(gate):
    return [e['finding'] for e in gate.events() if e.get('finding', {}).get('verdict') == 'BLOCKED']


if not shutil.which('gcc'):
    skip('slow_disk_test', 'needs gcc')
    finish()
with open('/run/slow.c', 'w') as file:
    file.write(SLOW)
run('gcc', '-shared', '-fPIC', '-o', '/run/slow.so', '/run/slow.c')
with Ground('chat') as ground:
    gate = ground.gate(asan='verify_asan_link_order=0', wait=False)
    os.environ['LD_PRELOAD'] = '/run/slow.so'
    gate.write()
    gate.start()
    del os.environ['LD_PRELOAD']
    ok('it is ready', wait_for(gate.ready, 30), gate.log())
    answer = chat(ground, 'say BAD', False)
    ok('a refusal waits for the disk (%.2f s)' % answer.seconds, refused(answer) and answer.seconds >= SECONDS, answer)
    answer = chat(ground, 'say GOOD')
    ok('what is harmless does not (%.2f s)' % answer.seconds, answer.complete and answer.seconds < SECONDS, answer)
    with dial(ground) as s:
        s.sendall(post('say BAD'))
        time.sleep(SECONDS / 2)
        s.sendall(post('say GOOD') + post('say BAD'))
        first = receive(s)
        rest = b''
        s.settimeout(SECONDS * 6)
        try:
            while rest.count(b'HTTP/1.1 200') < 2 or not rest.endswith(b'}'):
                rest += s.recv(65536)
        except OSError:
            pass
    data = first.raw + rest
    ok('the next requests while the refusal is in flight are answered in turn', data.count(b'HTTP/1.1 200') == 3 and
       data.count(b'content_filter') == 2 and data.count(b'friendly animal') == 1 and not leaks(data, ALPHA), data)
    for how in ('FIN', 'RST', 'half'):
        before = len(blocked(gate))
        s = dial(ground)
        s.sendall(post('say BAD', how == 'FIN'))
        time.sleep(SECONDS / 2)
        if how == 'half':
            s.shutdown(socket.SHUT_WR)
            answer = receive(s, 10)
            ok('a client that half-closes meanwhile has its refusal', refused(answer), answer)
        elif how == 'RST':
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
        s.close()
        ok('a client that leaves by %s meanwhile: on record' % how, wait_for(lambda: len(blocked(gate)) > before, 5), gate.log())
    s = dial(ground)
    s.sendall(post('say BAD'))
    time.sleep(SECONDS / 2)
    before = len(blocked(gate))
    gate.process.send_signal(signal.SIGTERM)
    data = b''
    s.settimeout(10)
    try:
        data = s.recv(65536)
    except OSError:
        pass
    ok('stopped meanwhile: it stops by itself', gate.stop(), gate.log())
    found = blocked(gate)
    ok('stopped meanwhile: the block is on record, the client has not heard of it', not data and len(found) == before + 1,
       (data, before, found))
    last = gate.exchanges()[-1]
    ok('and so is the exchange', last['verdict'] == 'BLOCKED', last)
    ok('the daemon was sound', 'Sanitizer' not in gate.log() and 'runtime error' not in gate.log(), gate.log())
finish()
