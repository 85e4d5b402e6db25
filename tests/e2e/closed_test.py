#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""closed_test - P6: a daemon that dies leaves the gate closed, or open where the operator said so, on record."""
import os
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import ALPHA, CHAT, Ground, ask, chat, dial, finish, isolate, leaks, ok, receive, refused, request_bytes, wait_for

isolate(240)


class Load:
    """Clients that ask on and on; each answer with the time it was complete."""

    def __init__(self, ground, count=16):
        self.ground, self.answers, self.leaked, self.on = ground, [], [], True
        self.threads = [threading.Thread(target=self.client, args=(i,), daemon=True) for i in range(count)]
        for t in self.threads:
            t.start()

    def client(self, i):
        while self.on:
            answer = chat(self.ground, 'say BAD' if i % 2 else 'say GOOD', i % 4 < 2, timeout=10)
            if leaks(answer.raw, ALPHA):
                self.leaked.append(answer)
            self.answers.append((time.monotonic(), answer.complete))
            if answer.error:
                time.sleep(0.01)

    def stop(self):
        self.on = False
        for t in self.threads:
            t.join(15)

    def complete_since(self, when):
        return sum(good for t, good in self.answers if t > when)


def shut(ground, seconds):
    """Whether nobody got through for `seconds`, asking on."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = chat(ground, 'say GOOD', False, timeout=5)
        if answer.raw:
            return answer
        time.sleep(0.02)
    return None


def closed():
    with Ground('chat') as ground:
        old = dial(ground)
        old.sendall(request_bytes('GET', '/health'))
        receive(old, method='GET')
        with ground.gate() as gate:
            try:
                old.sendall(request_bytes('POST', CHAT, {'messages': [{'role': 'user', 'content': 'say BAD'}]}))
                late = receive(old, timeout=5)
                ok('a connection older than the daemon is dead', not late.raw, late)
            except OSError:
                ok('a connection older than the daemon is dead', True)
            ok('guarded: GOOD passes', chat(ground, 'say GOOD').complete, gate.log())
            ok('guarded: BAD is refused', refused(chat(ground, 'say BAD')), gate.log())
            for turn in range(3):
                load = Load(ground)
                time.sleep(1)
                gate.kill()
                killed = time.monotonic()
                through = shut(ground, 2)
                ok('turn %d: closed at once after kill -9, under load' % turn, through is None, through)
                ok('turn %d: no client got a whole answer' % turn, load.complete_since(killed + 0.2) == 0,
                   load.complete_since(killed + 0.2))
                gate.start()
                ok('turn %d: open again after the restart' % turn,
                   wait_for(lambda: chat(ground, 'say GOOD').complete, 10), gate.log())
                ok('turn %d: and guarded' % turn, refused(chat(ground, 'say BAD')), gate.log())
                load.stop()
                ok('turn %d: nothing forbidden seen' % turn, not load.leaked, load.leaked[:1])
            ground.stop()
            ground.start()
            ok('the server restarts: guarded still', refused(chat(ground, 'say BAD')), gate.log())
            ok('the daemon is sound', gate.sound(), gate.log())
            ok('it stops by itself', gate.stop(), gate.log())
            ok('stopped: closed', shut(ground, 0.5) is None)


def opened():
    with Ground('chat') as ground:
        with ground.gate(fail='open') as gate:
            ok('fail: open, alive: BAD is refused', refused(chat(ground, 'say BAD')), gate.log())
            gate.kill()
            answer = chat(ground, 'say GOOD')
            ok('fail: open, dead: the server is reachable', answer.complete, answer)
            time.sleep(1)
            gate.start()
            ok('fail: open, back: BAD is refused', wait_for(lambda: refused(chat(ground, 'say BAD')), 10), gate.log())
            bypass = [e['bypass'] for e in gate.events() if 'bypass' in e]
            ok('fail: open: the interval is on record, once', len(bypass) == 1 and bypass[0]['kind'] == 'END' and
               bypass[0]['service'] == 'ground' and bypass[0]['from_unix_nano'] < bypass[0]['to_unix_nano'], bypass)
            ok('fail: open: and how many passed: %s' % bypass[0].get('connections'),
               bypass[0].get('connections', 0) == 1, bypass)
            gate.stop()
            gate.start()
            bypass = [e['bypass'] for e in gate.events() if 'bypass' in e]
            ok('fail: open: a stop is the start of an interval, and nothing is told twice',
               [b['kind'] for b in bypass] == ['END', 'START', 'END'] and not bypass[2].get('connections'), bypass)
            ok('fail: open: the daemon is sound', gate.sound(), gate.log())


closed()
opened()
finish()
