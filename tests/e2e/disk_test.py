#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""disk_test - the disk of the record fills up: nothing that is withheld gets out, and the operator's word is kept."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import ALPHA, Ground, chat, finish, isolate, leaks, ok, run, wait_for

isolate(240)


class Disk:
    """A file system of six megabytes for the record."""

    def __init__(self, gate):
        self.gate, self.ballast = gate, os.path.join(gate.record, 'ballast')
        os.makedirs(gate.record, exist_ok=True)
        run('mount', '-t', 'tmpfs', '-o', 'size=6m', 'none', gate.record)

    def fill(self, leave=0):
        with open(self.ballast, 'wb', 0) as file:
            try:
                while True:
                    file.write(bytes(65536))
            except OSError:
                pass
            file.truncate(max(0, file.tell() - leave))

    def free(self):
        os.truncate(self.ballast, 0)


def counters(gate):
    return (gate.status() or {}).get('counters', {})


def fill_up(ground, gate, disk):
    """Until the log is full, space in reserve included."""
    disk.fill()
    for i in range(3000):
        if i % 50 == 0 and counters(gate).get('record_full'):
            return True
        chat(ground, 'say GOOD', False)
    return False


def case(ground, name, record, check):
    gate = ground.gate(wait=False, record={'segment': '128K', 'space_left': 0, 'admin_space_left': 0, **record})
    gate.config['record']['dir'] = gate.record
    disk = Disk(gate)
    try:
        gate.write()
        gate.start()
        ok(name + ': ready', wait_for(gate.ready, 30), gate.log())
        check(ground, gate, disk)
        ok(name + ': it stops by itself, and was sound', gate.stop() and 'Sanitizer' not in gate.log(), gate.log())
        answer = gate.ctl('verify', '-D', gate.record)
        ok(name + ': the record verifies', answer.returncode == 0, answer.stdout + answer.stderr)
    finally:
        gate.kill()
        run('umount', '-l', gate.record)


def goes_on(ground, gate, disk):
    ok('continue: full', fill_up(ground, gate, disk), counters(gate))
    answer = chat(ground, 'say GOOD', False)
    ok('continue: what is harmless passes', answer.complete and answer.status == 200, answer)
    for stream in (False, True):
        answer = chat(ground, 'say BAD', stream)
        ok('continue: a block is cut without words', b'content_filter' not in answer.raw and not leaks(answer.raw, ALPHA), answer)
    ok('continue: it says so', wait_for(lambda: 'the disk is full' in gate.log(), 5), gate.log())
    disk.free()
    ok('continue: it goes on when there is space', wait_for(lambda: not counters(gate).get('record_full', 1), 10), gate.log())
    answer = chat(ground, 'say BAD', False)
    ok('continue: and refuses in words again', b'content_filter' in answer.raw, answer)
    blocked = [e for e in gate.events() if e.get('finding', {}).get('verdict') == 'BLOCKED']
    ok('continue: the blocks of the time between are on record', len(blocked) == 3, blocked)


def closes(ground, gate, disk):
    ok('closed: full', fill_up(ground, gate, disk), counters(gate))
    answer = chat(ground, 'say GOOD', False)
    ok('closed: nobody is served', not answer.raw, answer)
    disk.free()
    ok('closed: until there is space', wait_for(lambda: chat(ground, 'say GOOD', False).complete, 10), gate.log())


def stops(ground, gate, disk):
    disk.fill(leave=1 << 20)
    ok('stop-serving: nobody is served', wait_for(lambda: not chat(ground, 'say GOOD', False).raw, 10), gate.log())
    disk.free()
    ok('stop-serving: until there is space', wait_for(lambda: chat(ground, 'say GOOD', False).complete, 10), gate.log())
    kinds = [e['lifecycle'].get('kind') for e in gate.events() if 'lifecycle' in e]
    ok('stop-serving: both are on record', 'SERVICE_SUSPENDED' in kinds and 'SERVICE_RESUMED' in kinds, kinds)


def suspends(ground, gate, disk):
    disk.fill(leave=1 << 20)
    ok('suspend: it says so', wait_for(lambda: 'action=suspend' in gate.log(), 10), gate.log())
    answer = chat(ground, 'say GOOD', False)
    ok('suspend: what is harmless passes', answer.complete, answer)
    answer = chat(ground, 'say BAD', False)
    ok('suspend: a block is cut without words', b'content_filter' not in answer.raw and not leaks(answer.raw, ALPHA), answer)
    disk.free()
    ok('suspend: taken up again', wait_for(lambda: b'content_filter' in chat(ground, 'say BAD', False).raw, 10), gate.log())
    lost = [e['loss'] for e in gate.events() if 'loss' in e]
    ok('suspend: what was not recorded is counted on record', lost and int(lost[0]['count']) >= 2, lost)


with Ground('chat') as ground:
    case(ground, 'continue', {'on_record_failure': 'continue'}, goes_on)
    case(ground, 'closed', {'on_record_failure': 'closed'}, closes)
    case(ground, 'stop-serving', {'space_left': '2M', 'space_left_action': 'stop-serving'}, stops)
    case(ground, 'suspend', {'space_left': '2M', 'space_left_action': 'suspend'}, suspends)
finish()
