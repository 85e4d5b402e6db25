#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""record_test - P5: whoever saw a refusal has its record, whenever the daemon is killed. kill_soak.py does it longer."""
import collections
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from asking import ask, of_records
from gate import Ground, finish, isolate, ok

ROUNDS, CLIENTS = 12, 16
isolate(300)
rng = random.Random(int(os.environ.get('SEED', '0')) or time.time_ns())

with Ground('chat') as ground:
    with ground.gate() as gate:
        seen, leaked = [], 0
        for turn in range(ROUNDS):
            ports, bad = ask(ground, gate, CLIENTS, rng.uniform(0.05, 0.8))
            seen += ports
            leaked += bad
            ports, loose = of_records(gate.events())
            missing = sum((collections.Counter(seen) - collections.Counter(ports)).values())
            ok('round %d: %d refusals seen, each on record' % (turn, len(seen)), missing <= loose,
               '%d without an exchange record, %d findings without one' % (missing, loose))
            gate.start()
        ok('refusals were seen at all', len(seen) > ROUNDS, len(seen))
        ok('nothing forbidden seen', not leaked, leaked)
        numbers = [int(e['seq']) for e in gate.events('--log', 'ledger') if 'seq' in e]
        ok('numbers rise, none twice', numbers == sorted(set(numbers)) and numbers, numbers[-20:])
        ok('the daemon is sound', gate.sound(), gate.log())
finish()
