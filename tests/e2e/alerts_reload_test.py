#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""alerts_reload_test - who is told of alerts is by the configuration that is in force: none, one, another, none."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import HOST, Ground, chat, finish, isolate, ok, refused, wait_for
from hook import Hook

isolate(120)


def herald(gate):
    worker = gate.status()['worker_pid']
    return next((pid for pid in gate.children() if pid != worker), None)


def change(gate, alerts):
    """True when it is in force, and as many processes are there as it takes."""
    gate.config.pop('alerts', None)
    gate.config.update({'alerts': alerts} if alerts else {})
    gate.write()
    done = gate.ctl('reload', timeout=60)
    return done.returncode == 0 and wait_for(lambda: len(gate.children()) == 1 + bool(alerts), 30)


def told_to(hook, blocks):
    return {'webhook': 'http://%s:%d/hook' % (HOST, hook.port), 'window': '30s', 'blocks': blocks}


def block(ground, count):
    return all(refused(chat(ground, 'say BAD', False)) for _ in range(count))


def told(ground, hook):
    """Blocks until it hears of them: those before the first look of who tells are not counted."""
    return wait_for(lambda: block(ground, 2) and hook.wait('SluiceBlocksMany', 'firing', seconds=1), 40)


with Ground('chat') as ground:
    one, other = Hook(), Hook()
    with ground.gate() as gate:
        ok('nobody is told at first', len(gate.children()) == 1 and block(ground, 4), gate.log())
        ok('somebody to tell is taken in', change(gate, told_to(one, 3)), gate.log())
        ok('it is told', told(ground, one), gate.log())
        before, said = herald(gate), len(one.said())
        ok('another one is taken in', change(gate, told_to(other, 6)) and herald(gate) != before, gate.log())
        ok('it is told in its turn', told(ground, other), gate.log())
        ok('and the one before is not', len(one.said()) == said, one.said())
        ok('nobody is to be told any more', change(gate, None) and herald(gate) is None and block(ground, 1), gate.log())
        ok('it is sound', gate.sound() and gate.stop(), gate.log())
finish()
