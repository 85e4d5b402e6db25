#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""many_streams_test - 2,000 streams open at once; descriptors, memory and map entries are back afterwards."""
import os
import selectors
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import CHAT, Answer, Ground, chat, dial, finish, get_json, isolate, ok, parse_answer, read_answer, request_bytes, wait_for

# memory is a matter of the real allocator; the soak does this under ASan
os.environ.setdefault('SLUICE_BUILD', 'release')
STREAMS, MEGABYTE = int(os.environ.get('STREAMS', '2000')), 1 << 20
isolate(300)


def number(status, name):
    """The first value of that name anywhere in the status."""
    if isinstance(status, dict):
        for key, value in status.items():
            if key == name and isinstance(value, int):
                return value
            found = number(value, name)
            if found is not None:
                return found
    elif isinstance(status, list):
        for value in status:
            found = number(value, name)
            if found is not None:
                return found
    return None


most_dials = [0]


def crowd(ground, words, count, delay, seconds, gate=None):
    """`count` streams at once; (answers, most generations under way at the server)."""
    poll, answers, most, asked_at = selectors.DefaultSelector(), [], 0, 0
    body = {'stream': True, 'delay': delay, 'messages': [{'role': 'user', 'content': words}]}
    for _ in range(count):
        s, answer = dial(ground), Answer()
        s.sendall(request_bytes('POST', CHAT, body))
        s.setblocking(False)
        poll.register(s, selectors.EVENT_READ, answer)
        answers.append(answer)
    end = time.monotonic() + seconds
    while poll.get_map() and time.monotonic() < end:
        for key, _ in poll.select(0.5):
            answer = key.data
            try:
                piece = key.fileobj.recv(1 << 16)
            except BlockingIOError:
                continue
            except OSError as problem:
                piece, answer.error = b'', str(problem)
            answer.raw += piece
            if not piece or parse_answer(answer, False):
                answer.complete = bool(piece)
                poll.unregister(key.fileobj)
                key.fileobj.close()
        if time.monotonic() > asked_at + 2:
            asked_at = time.monotonic()
            stats = get_json(ground, '/stats')
            if gate:
                most_dials[0] = max(most_dials[0], number(gate.status(), 'dials') or 0)
            most = max(most, stats.get('started', 0) - stats.get('finished', 0) - stats.get('cancelled', 0))
    for key in list(poll.get_map().values()):
        poll.unregister(key.fileobj)
        key.fileobj.close()
    return answers, most


with Ground('chat') as ground:
    with ground.gate(asan='quarantine_size_mb=16') as gate:
        crowd(ground, 'say GOOD', 200, 0.05, 30)  # pools and tables have their size
        wait_for(lambda: False, 2)
        fds, memory, dials = gate.descriptors(), gate.resident(), number(gate.status(), 'dials') or 0
        answers, most = crowd(ground, 'say GOOD', STREAMS, 1.5, 150, gate)
        whole = sum(a.complete and read_answer(bytes(a.body)).finish.get(0) == 'stop' for a in answers)
        ok('%d of %d streams whole' % (whole, STREAMS), whole == STREAMS,
           [a for a in answers if not a.complete][:3])
        ok('%d open at once' % most, most >= STREAMS * 0.99, most)
        back = wait_for(lambda: gate.descriptors() <= fds + 4, 10)
        ok('descriptors are back: %d, were %d' % (gate.descriptors(), fds), back)
        back = wait_for(lambda: gate.resident() <= memory + 12 * MEGABYTE, 10)
        ok('memory is back: %d MB, was %d' % (gate.resident() // MEGABYTE, memory // MEGABYTE), back)
        back = wait_for(lambda: (number(gate.status(), 'dials') or 0) <= dials + 1, 10)
        ok('map entries are back: %d, were %d' % (number(gate.status(), 'dials') or 0, dials), back)
        ok('they were there', most_dials[0] >= STREAMS * 0.9, most_dials)
        first = gate.resident()
        for _ in range(2):
            crowd(ground, 'say GOOD', 500, 0.05, 60)
        # what the allocator keeps of a crowd is given back a second later
        back = wait_for(lambda: gate.resident() <= first + 16 * MEGABYTE, 10)
        ok('memory does not grow with more: %d MB, was %d' % (gate.resident() // MEGABYTE, first // MEGABYTE), back)
        ok('blocked answers still are', b'content_filter' in chat(ground, 'say BAD').raw, gate.log())
        ok('the daemon is sound', gate.sound(), gate.log())
finish()
