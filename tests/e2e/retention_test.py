#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""retention_test - legal holds are on record with who asked, and outlive the daemon; a short term is on record, too."""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import Ground, binary, finish, isolate, ok, run, wait_for

isolate(120)


def bodies(gate, kind):
    """Records of the control log."""
    answer = run(binary('sluicectl'), 'events', '-D', os.path.join(gate.record, 'control'), '-o', 'json', check=False, capture_output=True)
    return [e[kind] for e in map(json.loads, answer.stdout.splitlines()) if kind in e]


def ctl(gate, *args):
    answer = gate.ctl(*args)
    return answer.returncode, answer.stdout.decode(), answer.stderr.decode()


with Ground('chat') as ground:
    gate = ground.gate(wait=False)
    gate.config['record'].update({'retain': '30d', 'unsafe': 'true'})
    gate.write()
    gate.start()
    ok('ready', wait_for(gate.ready, 30), gate.log())
    unsafe = [e for e in bodies(gate, 'lifecycle') if e.get('kind') == 'UNSAFE']
    ok('a term below the floor is on record', unsafe and 'retain 30d, unsafe' in unsafe[0]['reason'], unsafe)
    status, out, err = ctl(gate, 'hold', 'add', 'case-7', '--authority', 'court of A', '--seq', '0-99', '--reason', 'letter of May')
    ok('a hold is set', status == 0, err)
    held = bodies(gate, 'hold')
    ok('it is on record', held and held[0]['id'] == 'case-7' and held[0]['filter'] == '0-99' and
       held[0]['authority'] == 'court of A', held)
    access = bodies(gate, 'access')
    ok('with who asked', access and access[0]['what'] == 'hold' and int(access[0].get('uid', 0)) == os.getuid() and
       int(access[0]['pid']) > 1 and access[0]['reason'] == 'letter of May', access)
    status, out, err = ctl(gate, 'hold', 'add', 'case-7', '--authority', 'x', '--all')
    ok('not twice', status == 2 and 'there is a hold of that id' in err, err)
    status, out, err = ctl(gate, 'hold', 'add', 'case-8', '--seq', '1')
    ok('not without an authority', status == 2, err)
    ok('it stops', gate.stop(), gate.log())
    gate.start()
    ok('ready again', wait_for(gate.ready, 30), gate.log())
    status, out, err = ctl(gate, 'hold', 'list', '-D', gate.record)
    ok('it is listed', out == 'case-7\t0-99\tuntil -\tby court of A\n', out + err)
    status, out, err = ctl(gate, 'hold', 'add', 'case-7', '--authority', 'x', '--all')
    ok('the daemon knows it after a restart', 'there is a hold of that id' in err, err)
    status, out, err = ctl(gate, 'hold', 'release', 'case-7')
    ok('it is released', status == 0, err)
    status, out, err = ctl(gate, 'hold', 'list', '-D', gate.record)
    ok('and not listed any more', status == 0 and not out, out)
    status, out, err = ctl(gate, 'hold', 'release', 'case-7')
    ok('what is not there is not released', status == 2 and 'no hold of that id' in err, err)
    ok('it was sound', gate.sound(), gate.log())
finish()
