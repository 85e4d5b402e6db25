#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""record_test - P5: whoever saw a refusal has its record, whenever the daemon is killed."""
import collections
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import ALPHA, CHAT, CLIENT, Ground, dial, finish, isolate, leaks, ok, receive, refused, request_bytes

ROUNDS, CLIENTS = 12, 16
isolate(300)
rng = random.Random(int(os.environ.get('SEED', '0')) or time.time_ns())


class Client(threading.Thread):
    """Asks the forbidden question on and on; keeps the source ports of refusals."""

    def __init__(self, ground, k, over):
        super().__init__(daemon=True)
        self.ground, self.k, self.over, self.ports, self.leaked = ground, k, over, [], 0

    def run(self):
        body = {'stream': self.k % 2 == 0, 'messages': [{'role': 'user', 'content': 'say BAD'}], 'delay': 0.001}
        while not self.over.is_set():
            try:
                with dial(self.ground, CLIENT) as s:
                    port = s.getsockname()[1]
                    s.sendall(request_bytes('POST', CHAT, body))
                    answer = receive(s, 10)
            except OSError:
                time.sleep(0.01)
                continue
            self.leaked += bool(leaks(answer.raw, ALPHA))
            # the first byte of the ending is the telling, whole or not
            if refused(answer) or b'content_filter' in answer.raw:
                self.ports.append(port)


def of_records(events):
    """Ports of blocked exchanges, and how many blocking findings have no exchange record (killed in between)."""
    ports, whole = [], set()
    for event in events:
        exchange = event.get('exchange')
        if exchange:
            whole.add(exchange.get('exchange_id'))
            if exchange.get('verdict') == 'BLOCKED':
                ports.append(int(exchange.get('src', {}).get('port', 0)))
    loose = {e['finding'].get('exchange_id') for e in events
             if e.get('finding', {}).get('verdict') == 'BLOCKED' and e['finding'].get('exchange_id') not in whole}
    return ports, len(loose)


with Ground('chat') as ground:
    with ground.gate() as gate:
        seen, leaked = [], 0
        for turn in range(ROUNDS):
            over = threading.Event()
            clients = [Client(ground, k, over) for k in range(CLIENTS)]
            for c in clients:
                c.start()
            time.sleep(rng.uniform(0.05, 0.8))
            gate.kill()
            over.set()
            for c in clients:
                c.join(15)
                seen += c.ports
                leaked += c.leaked
            ports, loose = of_records(gate.events())
            missing = sum((collections.Counter(seen) - collections.Counter(ports)).values())
            ok('round %d: %d refusals seen, each on record' % (turn, len(seen)), missing <= loose,
               '%d without an exchange record, %d findings without one' % (missing, loose))
            gate.start()
        ok('refusals were seen at all', len(seen) > ROUNDS, len(seen))
        ok('nothing forbidden seen', not leaked, leaked)
        numbers = [int(e['seq']) for e in gate.events() if 'seq' in e]
        ok('numbers rise, none twice', numbers == sorted(set(numbers)) and numbers, numbers[-20:])
        ok('the daemon is sound', gate.sound(), gate.log())
finish()
