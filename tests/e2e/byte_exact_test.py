#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""byte_exact_test - P3: cleared answers pass as the server wrote them, framing included."""
import os
import random
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import (CHAT, FIXTURES, Ground, ask, dial, finish, in_threads, isolate, ok, receive, request_bytes,
                  without_date)

COUNT, CLIENTS = 1000, 8
isolate(540)


def questions():
    rng = random.Random(7)
    for i in range(COUNT):
        size = rng.randint(1, 300) if i % 10 < 7 else rng.randint(300, 3000) if i % 10 < 9 or i % 30 else rng.randint(5000, 40000)
        yield {'messages': [{'role': 'user', 'content': 'say RANDOM'}], 'seed': i, 'size': size, 'stream': rng.random() < .7,
               'n': rng.choice((1, 1, 1, 2)), 'ascii': rng.random() < .3, 'stream_options': {'include_usage': i % 3 == 0}}


def answers(ground):
    """All of them, ten on a connection, eight clients at once."""
    asked, got = list(questions()), [None] * COUNT

    def client(k):
        for begin in range(k * 10, COUNT, CLIENTS * 10):
            with dial(ground) as s:
                for i in range(begin, begin + 10):
                    s.sendall(request_bytes('POST', CHAT, asked[i]))
                    answer = receive(s)
                    got[i] = (without_date(answer.raw), answer.error)
                    if not answer.complete:
                        break
    in_threads(CLIENTS, client, 240)
    return got


def names():
    with open(os.path.join(FIXTURES, 'expect.tsv'), encoding='utf-8') as file:
        return [row[0] for row in (line.split('\t') for line in file) if row[1] == '0' and row[0] != 'clean-head']


def odd(ground, options):
    return {name: ask(ground, path='%s?raw=%s&%s' % (CHAT, name, options), body={'stream': True}) for name in names()}


with Ground('chat') as ground:
    direct = answers(ground)
    with ground.gate() as gate:
        gated = answers(ground)
        same = sum(a is not None and a == b and a[1] is None for a, b in zip(direct, gated))
        first = next((i for i, (a, b) in enumerate(zip(direct, gated)) if a != b), None)
        ok('%d of %d clean answers equal byte for byte' % (same, COUNT), same == COUNT,
           '' if first is None else 'answer %d\n%r\n%r\n%s' % (first, direct[first], gated[first], gate.log()))
        ok('the daemon is sound', gate.sound(), gate.log())

for options in ('end=fin', 'piece=1&gap=0&end=fin', 'piece=37&gap=0.001&end=fin'):
    with Ground('fake') as ground:
        direct = odd(ground, options)
        with ground.gate() as gate:
            gated = odd(ground, options)
            wrong = [n for n in direct if direct[n].raw != gated[n].raw]
            ok('odd but clean answers equal byte for byte, %s' % options, not wrong and direct,
               '\n'.join('%s: %r' % (n, gated[n]) for n in wrong[:5]) + gate.log())
finish()
