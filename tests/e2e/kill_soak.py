#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""kill_soak.py - kill -9 under load, a thousand times: no refusal without its record, and the record is sound after each.

    kill_soak.py [ROUNDS] [CLIENTS] [SEED]      1000 rounds, 12 clients; not part of the checks
"""
import collections
import json
import os
import random
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from asking import ask, of_records
from gate import Ground, binary, finish, isolate, ok

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
CLIENTS = int(sys.argv[2]) if len(sys.argv) > 2 else 12
SEED = int(sys.argv[3]) if len(sys.argv) > 3 else time.time_ns() % 1000000
VERIFY_EVERY = 25
isolate(600 + 30 * ROUNDS)
rng = random.Random(SEED)
print('# seed %d' % SEED, flush=True)


def ctl(*args):
    return subprocess.run([binary('sluicectl'), *args], capture_output=True, timeout=300)


class News:
    """What came to the ledger since the last look; the whole of it would be read a thousand times."""

    def __init__(self, record):
        self.cursor, self.log = os.path.join(os.path.dirname(record), 'cursor'), os.path.join(record, 'ledger')

    def read(self):
        answer = ctl('events', '-D', self.log, '-o', 'json', '--cursor-file', self.cursor)
        return answer, [json.loads(line) for line in answer.stdout.decode().splitlines() if line.strip()]


with Ground('chat') as ground:
    with ground.gate() as gate:
        gate.config['record']['segment'] = '1M'
        gate.write()
        news, last, seen_all, lost, leaked, wrong, recoveries = News(gate.record), -1, 0, 0, 0, [], collections.Counter()
        for turn in range(ROUNDS):
            seen, bad = ask(ground, gate, CLIENTS, rng.uniform(0.02, 0.4))
            leaked += bad
            seen_all += len(seen)
            answer, events = news.read()
            if answer.returncode not in (0, 1):
                wrong.append('round %d: events: %d %s' % (turn, answer.returncode, answer.stderr.decode()[-300:]))
            ports, loose = of_records(events)
            missing = sum((collections.Counter(seen) - collections.Counter(ports)).values())
            if missing > loose:
                lost += missing - loose
                wrong.append('round %d: %d refusals seen, %d not on record' % (turn, len(seen), missing - loose))
            for e in events:
                if int(e.get('seq', 0)) <= last:
                    wrong.append('round %d: seq %s behind %d' % (turn, e.get('seq'), last))
                last = int(e.get('seq', 0))
                if 'recovery' in e:
                    recoveries[e['recovery'].get('kind')] += 1
            gate.start()
            if turn % VERIFY_EVERY == VERIFY_EVERY - 1 or turn == ROUNDS - 1:
                answer = ctl('verify', '-D', gate.record)
                good = ok('%d rounds, %d refusals seen, each on record; the record is sound' % (turn + 1, seen_all),
                          not wrong and not leaked and answer.returncode == 0,
                          '\n'.join(wrong[-10:]) + answer.stdout.decode()[-2000:])
                wrong.clear()
                if not good:
                    break
        print('# rounds=%d refusals=%d lost=%d leaked=%d last_seq=%d recoveries=%s' %
              (turn + 1, seen_all, lost, leaked, last, dict(recoveries)), flush=True)
        ok('refusals were seen at all', seen_all > ROUNDS, seen_all)
        ok('it was sound to the end', gate.sound(), gate.log())
finish()
