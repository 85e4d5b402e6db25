#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""cli_test - what the programs say when they are asked wrongly, or for help; exit codes that scripts rely on."""
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import ALPHA, FIXTURES, POLICY, TOP, Ground, binary, finish, isolate, ok

isolate(120)
REQ, RES = os.path.join(FIXTURES, 'hit-one-event.req'), os.path.join(FIXTURES, 'hit-one-event.http')


def call(name, *args, stdin=b'', **how):
    return subprocess.run([binary(name), *args], input=stdin, capture_output=True, timeout=60, **how)


def ctl(*args, **how):
    return call('sluicectl', *args, **how)


for name, args in (('sluiced', ['--colour']), ('sluiced', ['extra']), ('sluiced', ['-c']), ('sluicectl', []),
                   ('sluicectl', ['--colour']), ('sluicectl', ['-c']), ('sluicectl', ['dance']), ('sluicectl', ['status', '--colour']),
                   ('sluicectl', ['status', 'extra']), ('sluicectl', ['services', 'extra']), ('sluicectl', ['policy']),
                   ('sluicectl', ['policy', 'dance']), ('sluicectl', ['policy', 'check', '--colour']), ('sluicectl', ['policy', 'show', '--colour']),
                   ('sluicectl', ['scan', '--colour']), ('sluicectl', ['replay']), ('sluicectl', ['replay', '--request', REQ]),
                   ('sluicectl', ['replay', '--colour']), ('sluicectl', ['replay', '--cut', 'x', '--request', REQ, '--response', RES]),
                   ('sluicectl', ['events', '--colour']), ('sluicectl', ['review']), ('sluicectl', ['verify'])):
    result = call(name, *args)
    ok('%s %s: exit 2, said on standard error' % (name, ' '.join(args)[:40]),
       result.returncode == 2 and result.stderr and not result.stdout, result)
for name, args in (('sluiced', []), ('sluicectl', []), ('sluicectl', ['status']), ('sluicectl', ['services']), ('sluicectl', ['policy']),
                   ('sluicectl', ['scan']), ('sluicectl', ['replay']), ('sluicectl', ['events'])):
    result = call(name, *args, '--help')
    ok('%s %s --help: exit 0, on standard output' % (name, ' '.join(args)),
       result.returncode == 0 and result.stdout.startswith(b'usage: ' + name.encode()) and not result.stderr, result)
for name in ('sluiced', 'sluicectl'):
    result = call(name, '--version')
    ok(name + ' --version', result.returncode == 0 and result.stdout.startswith(name.encode() + b' '), result)

result = ctl('scan', '-p', POLICY, stdin=b'say ' + ALPHA.encode() + b' now')
ok('scan: a hit is 0', result.returncode == 0 and result.stdout.startswith(b'4-26 block '), result)
ok('scan: none is 1', ctl('scan', '-p', POLICY, stdin=b'harmless').returncode == 1)
ok('scan: a file that is not there is 2', ctl('scan', '-p', POLICY, '/nonexistent').returncode == 2)
ok('scan: a policy that is not there is 2', ctl('scan', '-p', '/nonexistent').returncode == 2)
odd = '/run/od\udcffd "x"'
with open(odd, 'w') as file:
    file.write(ALPHA)
result = ctl('scan', '-p', POLICY, '--json', odd, odd)
ok('scan: JSON whatever the name of the file', len([json.loads(line) for line in result.stdout.splitlines()]) == 2, result)
with open('/run/many', 'w') as file:
    file.write((ALPHA + ' and more ') * 20000)
begin = time.monotonic()
result = ctl('scan', '-p', POLICY, '/run/many')
lines = result.stdout.splitlines()
ok('scan: 20,000 hits in %.1f s' % (time.monotonic() - begin), len(lines) == 20000 and
   lines[-1].startswith(b'%d-' % (19999 * 32)) and time.monotonic() - begin < 20, (len(lines), lines[-1:]))
ok('policy check: good is 0', ctl('policy', 'check', '-p', POLICY).returncode == 0)
ok('replay: blocked is 11', ctl('replay', '-p', POLICY, '--request', REQ, '--response', RES).returncode == 11)
with open('/dev/full', 'w') as full:
    for args in (['--version'], ['--help'], ['policy', 'check', '-p', POLICY], ['scan', '-p', POLICY, odd]):
        result = subprocess.run([binary('sluicectl'), *args], stdout=full, stderr=subprocess.PIPE, timeout=60)
        ok('%s into a full disk is 2' % args[0], result.returncode == 2 and b'standard output' in result.stderr, result)
os.mkdir('/run/empty')
ok('status without a daemon is 2', ctl('--control', '/run/empty/none.sock', 'status').returncode == 2)
ok('sluiced --check: the sample is read', call('sluiced', '--check', '-c', os.path.join(TOP, 'packaging', 'sluice.yaml')).returncode in (0, 1))

with Ground('chat') as ground:
    with ground.gate() as gate:
        ok('status: ready is 0', gate.ctl('status').returncode == 0, gate.ctl('status'))
        ok('policy reload: good is 0', gate.ctl('policy', 'reload').returncode == 0, gate.ctl('policy', 'reload'))
        second = subprocess.run([binary('sluiced'), '-c', gate.file], capture_output=True, timeout=60)
        ok('a second daemon ends with 1', second.returncode == 1 and b'another daemon has it' in second.stderr, second)
        other = os.path.join(ground.dir, 'other.yaml')
        with open(other, 'w') as file:
            file.write(open(gate.file).read().replace('control.sock', 'other.sock'))
        second = subprocess.run([binary('sluiced'), '-c', other], capture_output=True, timeout=60)
        ok('one with another socket on the same record, too', second.returncode == 1 and
           b'another daemon has it' in second.stderr, second)
        ok('and the first one lives', gate.ctl('status').returncode == 0 and gate.sound(), gate.log())
        text = open(gate.file).read()
        broken = os.path.join(ground.dir, 'broken.yaml')
        with open(broken, 'w') as file:
            file.write(text.replace('policy: ' + POLICY, 'policy: /run/empty'))
        result = call('sluiced', '--check', '-c', broken)
        ok('--check: an empty policy folder is 1', result.returncode == 1 and b'/run/empty' in result.stderr, result)
        gate.kill()
        result = call('sluiced', '--unpin', '-c', broken)
        ok('--unpin takes the guard down whatever the policy is', result.returncode == 0 and
           not os.path.exists(os.path.join(ground.pins, 'sluice')), result)
finish()
