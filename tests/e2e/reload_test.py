#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""reload_test - a policy with a mistake is refused whole, by file, line and column; the old one stays."""
import os
import re
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import ALPHA, POLICY, Ground, binary, chat, finish, isolate, leaks, ok, refused, wait_for

PLACE = re.compile(r'([^/\s:]+):(\d+):(\d+): \S')
GOOD = '''pack: test
version: "2026.11.22"
rules:
  - id: test.alpha
    risk: A.1.d
    action: block
    keywords: [FORBIDDEN-PHRASE-ALPHA]
  - id: test.fox
    risk: A.1.d
    action: block
    keywords: ["friendly animal"]
'''
MISTAKES = {
    'not YAML': GOOD.replace('[FORBIDDEN-PHRASE-ALPHA]', '[FORBIDDEN'),
    'unknown action': GOOD.replace('action: block', 'action: explode', 1),
    'unknown key': GOOD.replace('action: block', 'action: block\n    colour: red', 1),
    'no risk': GOOD.replace('    risk: A.1.d\n', '', 1),
    'unknown risk': GOOD.replace('A.1.d', 'Z.9.z', 1),
    'same id twice': GOOD.replace('test.fox', 'test.alpha'),
    'no keywords': GOOD.replace('    keywords: ["friendly animal"]\n', ''),
    'empty keyword': GOOD.replace('friendly animal', ''),
    'rules not a list': GOOD.split('rules:')[0] + 'rules: 7\n',
    'a pack of 100 MB': GOOD + '#' * (100 << 20),
    'binary': GOOD.replace('friendly', 'fr\0endly'),
    'a cycle': GOOD.replace('[FORBIDDEN-PHRASE-ALPHA]', '&a [*a]'),
    'missing list': GOOD.replace('keywords: ["friendly animal"]', 'keywords_file: nowhere.txt'),
}
isolate(240)


def write(path, text):
    with open(path, 'w') as file:
        file.write(text)


def check(file):
    return subprocess.run([binary('sluiced'), '--check', '-c', file], capture_output=True, timeout=30)


def death_over_a_broken_policy(ground, gate, pack):
    """A worker that dies meanwhile comes back with the policy that was last in force, and says so."""
    kept = os.path.join(ground.dir, 'policy.kept')
    for name, to in (('inside.txt', 'test.yaml'), ('outside.txt', '/etc/passwd')):
        os.symlink(to, os.path.join(os.path.dirname(pack), name))
    os.mkfifo(os.path.join(os.path.dirname(pack), 'pipe'))
    gate.ctl('policy', 'reload')

    def is_kept():
        try:
            with open(os.path.join(kept, 'test.yaml')) as file:
                return file.read() == GOOD and os.path.lexists(os.path.join(kept, 'inside.txt'))
        except OSError:
            return False
    ok('broken on disk: a copy of the good one is kept', wait_for(is_kept, 10), os.listdir(ground.dir))
    ok('broken on disk: for nobody but the worker', not os.stat(kept).st_mode & 7 and
       not os.stat(os.path.join(kept, 'test.yaml')).st_mode & 7, oct(os.stat(kept).st_mode))
    ok('broken on disk: links are followed inside the folder, and not out of it', os.path.exists(os.path.join(kept, 'inside.txt')) and
       not {'outside.txt', 'pipe'} & set(os.listdir(kept)), os.listdir(kept))
    write(pack, MISTAKES['unknown action'])
    for turn in ('once', 'and once more'):
        first = gate.worker()
        os.kill(first, signal.SIGKILL)
        ok('broken on disk: a worker that dies comes back, ' + turn,
           wait_for(lambda: gate.ready() and gate.worker() != first, 30, 0.2), gate.log())
        answer = chat(ground, 'say BAD')
        ok('broken on disk: with the last policy that was in force', refused(answer) and not leaks(answer.raw, ALPHA) and
           refused(chat(ground, 'say GOOD')), gate.log())
        ok('broken on disk: status says what is wrong', 'test.yaml' in ((gate.status() or {'policy': {}})['policy'].get('error') or ''), gate.status())
        changes = [e['policy'] for e in gate.events() if 'policy' in e]
        ok('broken on disk: on record, in force and refused', [bool(c.get('refused')) for c in changes[-2:]] == [False, True] and
           changes[-1]['digest'] == changes[-2]['digest'], changes[-2:])
        time.sleep(1.5)  # the keeper looks once a second: what is broken must not become the copy
        ok('broken on disk: the copy stays the good one', is_kept())
    write(pack, GOOD)
    ok('mended: it is in force', gate.ctl('reload').returncode == 0 and not gate.status()['policy'].get('error'), gate.status())


with Ground('chat') as ground:
    folder = os.path.join(ground.dir, 'policy.d')
    shutil.copytree(POLICY, folder)
    pack = os.path.join(folder, 'test.yaml')
    with ground.gate(policy=folder) as gate:
        ok('--check: a good configuration is 0', check(gate.file).returncode == 0, check(gate.file))
        for name, text in MISTAKES.items():
            write(pack, text)
            result = check(gate.file)
            said = (result.stdout + result.stderr).decode(errors='replace')
            found = PLACE.search(said)
            ok('--check: %s is 1 and named by file, line, column' % name,
               result.returncode == 1 and found and found.group(1) == 'test.yaml', '%d %s' % (result.returncode, said))
            gate.process.send_signal(signal.SIGHUP)
            time.sleep(0.3)
            answer = chat(ground, 'say BAD')
            ok('reload: %s leaves the old policy' % name, refused(answer) and not leaks(answer.raw, ALPHA) and
               chat(ground, 'say GOOD').complete and not refused(chat(ground, 'say GOOD')) and gate.sound(), gate.log())
        os.unlink(pack)
        gate.process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        ok('reload: an empty folder leaves the old policy', refused(chat(ground, 'say BAD')), gate.log())
        write(pack, GOOD)
        gate.process.send_signal(signal.SIGHUP)
        ok('reload: a good one takes over', wait_for(lambda: refused(chat(ground, 'say GOOD')), 5), gate.log())
        changes = [e['policy'] for e in gate.events() if 'policy' in e]
        ok('reload: on record, refused ones too', len(changes) >= 2 and any(c.get('refused') for c in changes), changes)
        death_over_a_broken_policy(ground, gate, pack)
        ok('the daemon is sound', gate.sound(), gate.log())
        text = open(gate.file).read()
        for name, wrong in (('unknown key', text + 'colour: red\n'), ('unknown fail mode', text.replace('fail: closed', 'fail: maybe')),
                            ('port out of range', re.sub(r'ports: \[\d+\]', 'ports: [70000]', text)),
                            ('not YAML', text + 'x: [1\n'), ('no services', re.sub(r'services:.*?policy:', 'policy:', text, flags=re.S))):
            other = os.path.join(ground.dir, 'wrong.yaml')
            write(other, wrong)
            result = check(other)
            said = (result.stdout + result.stderr).decode(errors='replace')
            found = PLACE.search(said)
            ok('--check: configuration with %s is 1 and named by file, line, column' % name,
               result.returncode == 1 and found and found.group(1) == 'wrong.yaml', '%d %s' % (result.returncode, said))
        result = check(os.path.join(ground.dir, 'nowhere.yaml'))
        ok('--check: no such file is 1', result.returncode == 1 and b'nowhere.yaml' in result.stderr, result)
finish()
