#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""worker_test - two processes: the one that reads the traffic can do nothing else, and is made again when it dies."""
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import ALPHA, TOP, Ground, alive, chat, finish, isolate, leaks, ok, refused, wait_for

isolate(240)
RELEASE = os.path.join(TOP, 'build', 'release', 'sluiced')
SHIPPED = os.path.join(TOP, 'packaging', 'policy.d')


def fields(pid):
    with open('/proc/%d/status' % pid) as file:
        return dict(line.rstrip('\n').split(':\t', 1) for line in file if ':\t' in line)


def add_user():
    """A user `sluice`, in this mount namespace alone."""
    lines = [line for line in open('/etc/passwd') if not line.startswith('sluice:')]
    with tempfile.NamedTemporaryFile('w', delete=False, dir='/run') as file:
        file.write(''.join(lines) + 'sluice:x:60321:60321::/nonexistent:/usr/sbin/nologin\n')
    os.chmod(file.name, 0o644)
    subprocess.run(['mount', '--bind', file.name, '/etc/passwd'], check=True)


def without_written_code():
    """A sluiced under the filter that systemd sets for MemoryDenyWriteExecute=."""
    path = '/run/sluiced-interpreted'
    with open(path, 'w') as file:
        file.write('''#!/usr/bin/python3
import ctypes, os, sys
class Compare(ctypes.Structure):
    _fields_ = [('arg', ctypes.c_uint), ('op', ctypes.c_int), ('a', ctypes.c_uint64), ('b', ctypes.c_uint64)]
lib = ctypes.CDLL('libseccomp.so.2')
lib.seccomp_init.restype = ctypes.c_void_p
lib.seccomp_init.argtypes = [ctypes.c_uint32]
lib.seccomp_load.argtypes = [ctypes.c_void_p]
lib.seccomp_rule_add_array.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p]
ALLOW, EPERM, MASKED_EQ, WRITE, EXEC = 0x7fff0000, 0x00050001, 7, 2, 4
f = lib.seccomp_init(ALLOW)
for name, bits in ((b'mmap', WRITE | EXEC), (b'mprotect', EXEC), (b'pkey_mprotect', EXEC)):
    call = lib.seccomp_syscall_resolve_name(name)
    if lib.seccomp_rule_add_array(f, EPERM, call, 1, ctypes.byref(Compare(2, MASKED_EQ, bits, bits))):
        raise SystemExit('no rule')
if lib.seccomp_load(f):
    raise SystemExit('no filter')
os.execv(%r, [%r, *sys.argv[1:]])
''' % (RELEASE, RELEASE))
    os.chmod(path, 0o755)
    return path


def powerless(gate, uid):
    worker, keeper = fields(gate.worker()), fields(gate.process.pid)
    sets = {name: worker[name] for name in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb')}
    ok('uid %d: no capability, none to be had' % uid, all(int(v, 16) == 0 for v in sets.values()), sets)
    ok('uid %d: no new privileges' % uid, worker['NoNewPrivs'] == '1', worker['NoNewPrivs'])
    ok('uid %d: a filter of system calls' % uid, worker['Seccomp'] == '2', worker['Seccomp'])
    ok('uid %d: its user' % uid, worker['Uid'].split() == [str(uid)] * 4 and worker['Gid'].split() == [str(uid)] * 4,
       worker['Uid'] + worker['Gid'])
    ok('uid %d: no groups beside it' % uid, not worker['Groups'].strip(), worker['Groups'])
    ok('uid %d: the keeper is single' % uid, keeper['Threads'] == '1', keeper['Threads'])


def keeper_reads_nothing(gate):
    """No connection of a client or to the server is open in the keeper while one is under way."""
    links = [os.readlink('/proc/%d/fd/%s' % (gate.process.pid, fd)) for fd in os.listdir('/proc/%d/fd' % gate.process.pid)]
    inodes = {link[8:-1] for link in links if link.startswith('socket:[')}
    connected = set()
    for name in ('tcp', 'tcp6'):
        for line in list(open('/proc/net/' + name))[1:]:
            if line.split()[3] == '01':
                connected.add(line.split()[9])
    return not inodes & connected


with Ground('chat') as ground:
    os.chmod(ground.dir, 0o755)
    with ground.gate(program=RELEASE, policy=SHIPPED) as gate:
        ok('guarded: GOOD passes', chat(ground, 'say GOOD').complete, gate.log())
        powerless(gate, 0)
        policy, said = gate.status()['policy'], gate.ctl('status').stdout.decode()
        ok('status says that patterns are compiled', policy['patterns'] == policy['patterns_compiled'] > 9 and
           'patterns: %d of %d compiled' % (policy['patterns'], policy['patterns']) in said, said)
        said = gate.ctl('status').stdout.decode()
        ok('status says that there is no user', "there is no user 'sluice'" in said, said)
        gate.stop()
    with ground.gate(program=without_written_code(), policy=SHIPPED) as gate:
        policy, said = gate.status()['policy'], gate.ctl('status').stdout.decode()
        ok('no memory may be written and run: status says that patterns are interpreted', policy['patterns'] > 9 and
           not policy['patterns_compiled'] and 'patterns: %d, interpreted' % policy['patterns'] in said, said)
        ok('and the guard guards', chat(ground, 'say GOOD').complete, gate.log())
        gate.stop()
    add_user()
    for folder in (ground.dir, os.path.dirname(ground.dir)):
        os.chmod(folder, 0o755)
    with ground.gate(program=RELEASE) as gate:
        ok('guarded: GOOD passes', chat(ground, 'say GOOD').complete, gate.log())
        ok('guarded: BAD is refused', refused(chat(ground, 'say BAD')), gate.log())
        powerless(gate, 60321)
        record = os.stat(gate.record)
        ok('the record is the worker\'s', record.st_uid == 60321 and not record.st_mode & 0o007, oct(record.st_mode))
        ok('status has nothing to say of users', 'user' not in gate.ctl('status').stdout.decode())

        talk = threading.Thread(target=lambda: chat(ground, 'say GOOD slowly', timeout=10))
        talk.start()
        time.sleep(0.05)
        ok('the keeper has no connection open', keeper_reads_nothing(gate))
        talk.join()

        answers, on = [], [True]

        def load():
            while on[0]:
                answer = chat(ground, 'say BAD', timeout=10)
                answers.append((time.monotonic(), answer))
                if answer.error:
                    time.sleep(0.005)

        threads = [threading.Thread(target=load, daemon=True) for _ in range(8)]
        for t in threads:
            t.start()
        for turn in range(3):
            time.sleep(0.5)
            old = gate.worker()
            os.kill(old, signal.SIGKILL)
            killed = time.monotonic()
            back = wait_for(lambda: any(t > killed + 0.05 and refused(a) for t, a in list(answers)), 15)
            ok('turn %d: killed under load, back in %d ms' % (turn, (time.monotonic() - killed) * 1000), back, gate.log())
            ok('turn %d: by another worker' % turn, gate.worker() != old and alive(gate.worker()))
        on[0] = False
        for t in threads:
            t.join(15)
        leaked = [a for _, a in answers if leaks(a.raw, ALPHA)]
        ok('nothing forbidden seen', not leaked, leaked[:1])
        ok('nobody reached the server directly', all(refused(a) or not a.complete for _, a in answers))
        starts = [e['lifecycle'] for e in gate.events() if e.get('lifecycle', {}).get('kind') == 'START']
        ok('on record, with the reason', [s.get('reason', '') for s in starts][-3:] == ['worker ended by SIGKILL'] * 3, starts)
        status = gate.status()
        ok('and counted', status['counters'].get('worker_restarts') == 3, status)

        ok('a reload by the control socket', gate.ctl('policy', 'reload').returncode == 0)
        gate.process.send_signal(signal.SIGHUP)
        ok('and SIGHUP to the keeper does', wait_for(lambda: gate.log().count('policy: loaded') == 2, 5), gate.log())
        ok('guarded still', wait_for(lambda: refused(chat(ground, 'say BAD')), 5), gate.log())

        old = gate.worker()
        os.kill(old, signal.SIGSTOP)
        ok('a worker that stands still is ended, another takes its place',
           wait_for(lambda: gate.worker() != old and refused(chat(ground, 'say BAD', timeout=30)), 60, 1), gate.log())

        old = gate.worker()
        gate.kill()
        ok('the keeper dies, its worker with it', wait_for(lambda: not alive(old), 5))
        ok('and the gate is shut', not chat(ground, 'say GOOD', timeout=3).raw)
        gate.start()
        ok('both are back', refused(chat(ground, 'say BAD')), gate.log())
        ok('it stops by itself', gate.stop(), gate.log())
    with ground.gate(program=RELEASE, wait=False, user='nobody-of-that-name') as gate:
        ok('a user that is not there is refused by name', gate.process.wait(20) == 1 and
           "no user 'nobody-of-that-name'" in gate.log(), gate.log())
finish()
