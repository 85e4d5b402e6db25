#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""export_test - what is handed out is read and checked by protoc, zcat, sha256sum and Go alone, and leaves an Access record."""
import json
import os
import re
import subprocess
import sys
import tarfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import ALPHA, CHAT, Ground, ask, binary, finish, isolate, ok, skip, wait_for

isolate(300)
GO = {**os.environ, 'GO111MODULE': 'off', 'GOPATH': '/usr/share/gocode', 'GOFLAGS': '',
      'GOCACHE': os.path.join(os.path.dirname(os.path.dirname(binary('sluicectl'))), 'gocache')}


def ctl(*args, **how):
    answer = subprocess.run([binary('sluicectl'), *args], capture_output=True, timeout=120, **how)
    return answer.returncode, answer.stdout, answer.stderr.decode(errors='replace')


def unpack(bundle, to):
    """With tar, as a stranger would; the folder it makes."""
    os.mkdir(to)
    subprocess.run(['tar', '-C', to, '-xf', bundle], check=True)
    return os.path.join(to, 'sluice-bundle')


def commands(folder):
    """The commands of its README.txt, each with what it printed."""
    text = open(os.path.join(folder, 'README.txt')).read()
    for line in re.findall(r'^     (\S.*)$', text, re.M):
        answer = subprocess.run(['bash', '-e', '-o', 'pipefail', '-c', line], cwd=folder, capture_output=True, env=GO, timeout=120)
        yield line, answer


def sums(folder):
    return subprocess.run(['sha256sum', '--check', '--quiet', 'SHA256SUMS'], cwd=folder, capture_output=True).returncode


def go(folder, *args):
    answer = subprocess.run(['go', 'run', 'verifier.go', *args], cwd=folder, capture_output=True, env=GO, timeout=120)
    return answer.returncode, answer.stdout.decode()


with Ground('chat') as ground:
    gate = ground.gate(wait=False)
    gate.config['record']['segment'] = '128K'
    gate.write()
    gate.start()
    ok('ready', wait_for(gate.ready, 30), gate.log())
    ledger = os.path.join(gate.record, 'ledger')

    def size():
        return int(open(os.path.join(ledger, 'checkpoint')).read().splitlines()[1])

    def some(n):
        """n answers more, under a checkpoint."""
        before = size()
        for i in range(n):
            ask(ground, 'POST', CHAT, {'messages': [{'role': 'user', 'content': 'say BAD' if i % 5 == 0 else 'hello'}]})
        return wait_for(lambda: size() >= before + n, 20)

    # sealed segments, too: the daemon rolls at 128 KiB
    while not any(name.endswith('.seg.gz') for name in os.listdir(ledger)) and size() < 3000:
        some(100)
    ok('a segment is sealed', wait_for(lambda: any(name.endswith('.seg.gz') for name in os.listdir(ledger)), 20), os.listdir(ledger))
    vkey = open(os.path.join(ledger, 'vkey')).read().splitlines()[0]

    # ---- the whole of it ----
    bundle = os.path.join(ground.dir, 'all.tar')
    status, out, err = ctl('-c', gate.file, 'export', '--bundle', bundle, '--reason', 'request 12 of the authority')
    ok('the record is exported while it is written', status == 0, err)
    ok('for its owner alone', os.stat(bundle).st_mode & 0o777 == 0o600)
    ok('not over a file that is there', ctl('-c', gate.file, 'export', '--bundle', bundle)[0] == 2)
    status, out, err = ctl('events', '-D', os.path.join(gate.record, 'control'), '-o', 'json', 'type=access')
    access = [json.loads(line)['access'] for line in out.splitlines()]
    ok('who took it out is on record', any(a['what'] == 'export' and a['filter'] == 'all' and int(a.get('uid', 0)) == os.getuid() and
                                          a['reason'] == 'request 12 of the authority' for a in access), access)
    whole = unpack(bundle, os.path.join(ground.dir, 'whole'))
    read = {}
    if os.path.exists('/usr/share/gocode/src/golang.org/x/mod'):
        for line, answer in commands(whole):
            if not line.startswith('export '):
                read[line] = answer
                ok('README: ' + line[:70], answer.returncode == 0, answer.stderr.decode()[-800:] + answer.stdout.decode()[-800:])
    else:
        skip('README', 'the Go packages are not there')
    texts = b''.join(a.stdout for line, a in read.items() if 'protoc' in line)
    ok('protoc read every kind of record', all(word in texts for word in (b'exchange {', b'finding {', b'lifecycle {', b'trailer {')))
    ok('and no word that was forbidden', ALPHA.encode() not in texts)
    status, out, err = ctl('verify', '-D', os.path.join(whole, 'record'), '--key', vkey)
    ok('our own verify says the same of the ledger', b'ledger: sound' in out, out.decode() + err)
    status, out, err = ctl('verify', '-D', os.path.join(whole, 'record'))
    ok('and of both', status == 0, out.decode() + err)
    segments = [n for n in os.listdir(os.path.join(whole, 'record', 'ledger')) if '.seg' in n]
    ok('nothing that only helps our own reader', not any('.idx' in n or n == 'lock' for n in segments), segments)

    # ---- a byte of it ----
    path = os.path.join(whole, 'record', 'ledger', sorted(n for n in segments if n.endswith('.seg'))[-1])
    data = bytearray(open(path, 'rb').read())
    data[len(data) // 2] ^= 1
    open(path, 'wb').write(data)
    ok('a changed byte: sha256sum', sums(whole) != 0)
    ok('a changed byte: Go', go(whole, 'record/ledger')[0] == 1)

    # ---- records of a choice ----
    some(10)
    chosen = os.path.join(ground.dir, 'chosen.tar')
    status, out, err = ctl('-c', gate.file, 'export', '--bundle', chosen, 'verdict=BLOCKED', 'type=exchange', '--seq', '0-%d' % size())
    ok('chosen records are exported', status == 0 and 'records=' in err, err)
    there = unpack(chosen, os.path.join(ground.dir, 'chosen'))
    if os.path.exists('/usr/share/gocode/src/golang.org/x/mod'):
        for line, answer in commands(there):
            if not line.startswith('export '):
                ok('README: ' + line[:70], answer.returncode == 0, answer.stderr.decode()[-800:] + answer.stdout.decode()[-800:])
        status, out = go(there, '-records', 'chosen', vkey)
        ok('proofs against the key that was kept', status == 0 and 'sound' in out, out)
        ok('and not against another', go(there, '-records', 'chosen', 'x+11111111+' + vkey.split('+', 2)[2])[0] != 0)
    lines = [json.loads(line) for line in open(os.path.join(there, 'chosen', 'records.json'))]
    number = int(re.search(r'records=(\d+)', err).group(1))
    ok('they are those', len(lines) == number > 10 and all(e['exchange']['verdict'] == 'BLOCKED' for e in lines), lines[:2])
    ok('and nobody else\'s', len(os.listdir(os.path.join(there, 'chosen', 'records'))) <= number + 2)
    name = sorted(os.listdir(os.path.join(there, 'chosen', 'records')))[0]
    path = os.path.join(there, 'chosen', 'records', name)
    data = bytearray(open(path, 'rb').read())
    data[-20] ^= 1
    open(path, 'wb').write(data)
    ok('a changed record: Go', go(there, '-records', 'chosen')[0] == 1)
    status, out, err = ctl('-c', gate.file, 'export', '--bundle', os.path.join(ground.dir, 'none.tar'), 'request_id=nobody')
    ok('nothing of that choice: exit status 1 and no file', status == 1 and not os.path.exists(os.path.join(ground.dir, 'none.tar')), err)
    status, out, err = ctl('-c', gate.file, 'export', '--bundle', '-', '--control', '-S', '-1h')
    names = subprocess.run(['tar', '-tf', '-'], input=out, capture_output=True)
    ok('through a pipe', status == 0 and names.returncode == 0 and b'sluice-bundle/chosen/records.pb' in names.stdout, err)

    # ---- no record, no bundle ----
    ok('it stops', gate.stop(), gate.log())
    late = os.path.join(ground.dir, 'late.tar')
    status, out, err = ctl('-c', gate.file, 'export', '--bundle', late)
    ok('without a daemon nothing is handed out', status == 2 and not os.path.exists(late), err)
    status, out, err = ctl('export', '--bundle', late, '-D', gate.record)
    ok('but a copy is, and it says so', status == 0 and 'not on record' in err and tarfile.is_tarfile(late), err)
finish()
