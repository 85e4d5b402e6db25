#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""backpressure_test - a slow client slows the server, and the daemon does not take the difference into memory."""
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import Answer, Ground, ask, dial, finish, get_json, in_threads, isolate, ok, receive, request_bytes

MEGABYTE = 1 << 20
TOTAL, SLOW = 64 * MEGABYTE, 4
isolate(240)


def flood(ground):
    return get_json(ground, '/stats').get('flood', 0)


with Ground('fake') as ground:
    with ground.gate(asan='quarantine_size_mb=16') as gate:
        ask(ground, path='/flood?bytes=20000000', body={'stream': True})
        memory, before = gate.resident(), flood(ground)
        slow = []
        for _ in range(SLOW):
            s = dial(ground)
            s.sendall(request_bytes('POST', '/flood?bytes=%d' % TOTAL, {'stream': True}))
            slow.append((s, s.recv(4096)))
        first, second = before, flood(ground)
        end = time.monotonic() + 60  # buffers of the kernel grow for a while, the longer the busier the machine is
        while second - first >= MEGABYTE and time.monotonic() < end:
            time.sleep(2)
            first, second = second, flood(ground)
        ok('the server stands still: %d MB for %d clients that read nothing' % ((second - before) // MEGABYTE, SLOW),
           second - first < MEGABYTE and second - before < SLOW * 24 * MEGABYTE, (before, first, second))
        ok('the daemon keeps little: %d MB, was %d' % (gate.resident() // MEGABYTE, memory // MEGABYTE),
           gate.resident() < memory + 48 * MEGABYTE)
        answer = ask(ground, path='/raw/clean-stream', body={'stream': True})
        ok('others are served meanwhile', answer.complete, answer)

        def drain(i):
            s, begin = slow[i]
            from gate import Answer
            with s:
                return receive(s, 120, answer=Answer(begin))
        answers = in_threads(SLOW, drain, 150)
        ok('all arrives when they read on', all(getattr(a, 'complete', False) and len(a.raw) >= TOTAL for a in answers),
           [getattr(a, 'error', None) or (len(a.raw), a) for a in answers])
        ok('the daemon keeps little afterwards: %d MB' % (gate.resident() // MEGABYTE),
           gate.resident() < memory + 48 * MEGABYTE)
        ok('the daemon is sound', gate.sound(), gate.log())
finish()
