#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""stop_test - P7: a blocked answer is no longer generated, and the record says whether that is confirmed."""
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import ALPHA, CHAT, Ground, chat, dial, finish, get_json, isolate, leaks, ok, refused, request_bytes, wait_for

isolate(180)


def long(ground, stream, **more):
    return chat(ground, 'say LONGBAD', stream, timeout=60, delay=0.02, **more)


for http in ('httptools', 'h11'):
    with Ground('chat', '--http', http) as ground:
        with ground.gate() as gate:
            answer = long(ground, True)
            blocked = time.monotonic()
            ok(http + ': refused', refused(answer) and not leaks(answer.raw, ALPHA), answer)
            ok(http + ': within 5 s, not minutes', answer.seconds < 5, answer.seconds)
            gone = wait_for(lambda: get_json(ground, '/stats').get('cancelled', 0) >= 1, 2)
            ok('%s: generation cancelled after %.2f s' % (http, time.monotonic() - blocked), gone,
               '%s\n%s' % (get_json(ground, '/stats'), gate.log()))
            found = wait_for(lambda: [f for f in gate.findings() if f.get('stop_generation', {}).get('result') == 'CONFIRMED']
                             or [x for x in gate.exchanges() if x.get('stop_generation', {}).get('result') == 'CONFIRMED'], 5)
            ok(http + ': the record says CONFIRMED', found, gate.events())
            s = dial(ground)
            s.sendall(request_bytes('POST', CHAT, {'stream': True, 'delay': 0.02,
                                                   'messages': [{'role': 'user', 'content': 'say LONG'}]}))
            s.recv(4096)
            s.close()
            gone = wait_for(lambda: get_json(ground, '/stats').get('cancelled', 0) >= 2, 2)
            ok(http + ': a client that leaves ends its generation', gone, get_json(ground, '/stats'))
            ok(http + ': the daemon is sound', gate.sound(), gate.log())
finish()
