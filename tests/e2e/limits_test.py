#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""limits_test - out of descriptors, out of a policy, out of a loop's turn: it waits, it does not break."""
import os
import resource
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import (CHAT, Answer, Ground, binary, chat, dial, finish, isolate, ok, read_answer, receive, refused, request_bytes,
                  wait_for)

isolate(180)


def cpu(pid):
    with open('/proc/%d/stat' % pid) as file:
        fields = file.read().rsplit(') ', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def dial_or_none(ground):
    """A client, or None: one that is refused at once may hear of it in connect() already."""
    try:
        return dial(ground, timeout=5)
    except ConnectionResetError:
        return None


def with_few(ground):
    """The daemon under a limit of 161 descriptors, an odd number: in pairs they would not run out in the middle of one."""
    program = os.path.join(ground.dir, 'few')
    with open(program, 'w') as file:
        file.write('#!/bin/sh\nulimit -n 161\nexec %s "$@"\n' % binary('sluiced'))
    os.chmod(program, 0o755)
    return program


def descriptors(ground, gate):
    """Fewer descriptors than clients: those beyond wait, the others go on, and all is well afterwards."""
    held = dial(ground)
    held.sendall(request_bytes('POST', CHAT, {'stream': True, 'delay': 0.5, 'messages': [{'role': 'user', 'content': 'say GOOD'}]}))
    begun = Answer(held.recv(4096))  # it has its descriptors
    crowd = [s for s in (dial_or_none(ground) for _ in range(200)) if s]
    time.sleep(0.5)
    begin, said = cpu(gate.worker()), gate.log().count('accept: ')
    time.sleep(2)
    used, said = cpu(gate.worker()) - begin, gate.log().count('accept: ') - said
    ok('out of descriptors: it waits and does not spin (%.2f s of 2)' % used, used < 1.0, gate.log())
    ok('out of descriptors: it does not fill the log with it (%d lines)' % said, 'accept: ' in gate.log() and said <= gate.status()['loops'], gate.log())
    ok('out of descriptors: what is not for clients is left, status answers', gate.ctl('status').returncode == 0, gate.log())
    ok('out of descriptors: nobody is refused for it', gate.status()['counters'].get('dial_failed', 0) == 0, gate.status())
    answer = receive(held, 30, answer=begun)
    ok('out of descriptors: who is served goes on', answer.complete and read_answer(answer.body).finish.get(0) == 'stop', answer)
    held.close()
    for s in crowd:
        s.close()
    ok('descriptors are back: served again', wait_for(lambda: chat(ground, 'say GOOD', timeout=3).complete, 15, 0.2), gate.log())
    ok('and status answers', wait_for(lambda: gate.ctl('status').returncode == 0, 5), gate.log())
    ok('nobody is left', wait_for(lambda: gate.status()['counters']['open'] == 0, 10), gate.status())


def reloads(ground, gate):
    """Streams that began under a policy end under it, whole, however often it is reloaded meanwhile."""
    streams = []
    for words in ('say GOOD', 'say BAD') * 10:
        s = dial(ground)
        s.sendall(request_bytes('POST', CHAT, {'stream': True, 'delay': 0.1, 'messages': [{'role': 'user', 'content': words}]}))
        streams.append((words, s))
    for _ in range(30):
        gate.process.send_signal(signal.SIGHUP)
        time.sleep(0.05)
    bad = []
    for words, s in streams:
        answer = receive(s, 30)
        if not answer.complete or refused(answer) != words.endswith('BAD'):
            bad.append((words, answer))
        s.close()
    ok('policy reloads under way: every stream ends as it should', not bad, bad[:3])


def crowd(ground, gate):
    """Ten thousand who say nothing."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    many = 10000 if limit >= 25000 else 1000
    memory = gate.resident()
    silent = [dial(ground) for _ in range(many)]
    ok('%d silent connections: all taken' % many, wait_for(lambda: gate.status()['counters']['open'] >= many, 30), gate.status())
    begin = cpu(gate.worker())
    answer = chat(ground, 'say GOOD')
    time.sleep(2)
    ok('%d silent connections: others are served' % many, answer.complete, answer)
    used = cpu(gate.worker()) - begin
    ok('%d silent connections cost no time (%.2f s of 2)' % (many, used), used < 1.0)
    ok('%d silent connections cost %d KB each' % (many, (gate.resident() - memory) // 1024 // many),
       gate.resident() - memory < many * 16384, gate.resident())
    for s in silent:
        s.close()
    ok('and all are let go', wait_for(lambda: gate.status()['counters']['open'] == 0, 30), gate.status())


with Ground('chat') as ground:
    with ground.gate(asan='quarantine_size_mb=8') as gate:
        reloads(ground, gate)
        crowd(ground, gate)
        ok('the daemon is sound', gate.sound(), gate.log())
    with ground.gate(program=with_few(ground)) as gate:
        descriptors(ground, gate)
        ok('the daemon is sound after that', gate.sound(), gate.log())
        ok('it stops by itself', gate.stop(), gate.log())
finish()
