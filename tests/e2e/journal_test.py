#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""journal_test - what somebody may wait for reaches the journal with its message id, from all processes, and the catalog
explains each."""
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import ALPHA, POLICY, TOP, Ground, chat, finish, isolate, ok, skip, wait_for

isolate(90)
CATALOG = os.path.join(TOP, 'packaging', 'journal', 'sluice.catalog')
with open(os.path.join(TOP, 'agent', 'base', 'log.c')) as file:
    ROWS = re.findall(r'^\s*ROW\((\w+), (\w+), "([0-9a-f]{32})"\)', file.read(), re.M)
IDS = {name: number for name, _, number in ROWS}


class Journal:
    """/run/systemd/journal/socket, as journald has it: datagrams of fields."""

    def __init__(self):
        os.makedirs('/run/systemd/journal', exist_ok=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind('/run/systemd/journal/socket')
        os.chmod('/run/systemd/journal/socket', 0o666)
        self.messages = []
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            text = self.socket.recv(1 << 16).decode(errors='replace')
            fields = {'text': text}
            for line in text.splitlines():
                name, equals, value = line.partition('=')
                if equals:
                    fields[name] = value
            self.messages.append(fields)

    def find(self, event):
        return [m for m in list(self.messages) if m.get('MESSAGE_ID') == IDS[event]]


def catalog():
    with open(CATALOG) as file:
        text = file.read()
    ok('no id is there twice', len(set(IDS.values())) == len(IDS) == len(ROWS) >= 17, ROWS)
    ok('the catalog has the same ids', re.findall(r'^-- ([0-9a-f]{32})$', text, re.M) == [row[2] for row in ROWS])
    with open(os.path.join(TOP, 'docs', 'runbook.md')) as file:
        sections = set(re.findall(r'^## (\w+)$', file.read(), re.M))
    named = set(re.findall(r'\bSluice\w+', text))
    ok('and the sections of the runbook that it names are there', named and named <= sections, named - sections)
    if not shutil.which('journalctl'):
        skip('journalctl takes the catalog', 'journalctl is not there')
        return
    with tempfile.TemporaryDirectory() as root:
        os.makedirs(os.path.join(root, 'usr/lib/systemd/catalog'))
        os.makedirs(os.path.join(root, 'var/lib/systemd/catalog'))
        shutil.copy(CATALOG, os.path.join(root, 'usr/lib/systemd/catalog'))
        done = subprocess.run(['journalctl', '--root=' + root, '--update-catalog'], capture_output=True, text=True, timeout=30)
        ok('journalctl takes the catalog', done.returncode == 0 and not done.stderr.strip(), done.stderr)
        done = subprocess.run(['journalctl', '--root=' + root, '--list-catalog'], capture_output=True, text=True, timeout=30)
        ok('and lists each', all(number in done.stdout for number in IDS.values()), done.stdout + done.stderr)


def events():
    journal = Journal()
    with Ground('chat') as ground:
        policy = os.path.join(ground.dir, 'policy.d')
        shutil.copytree(POLICY, policy)
        log = os.path.join(ground.dir, 'sluiced.log')
        open(log, 'w').close()
        place = os.stat(log)
        os.environ['JOURNAL_STREAM'] = '%d:%d' % (place.st_dev, place.st_ino)  # as if the file were the journal's
        with ground.gate(policy=policy, fail='open', alerts={'webhook': 'http://127.0.0.1:9/', 'blocks': 1, 'window': '2s'}) as gate:
            del os.environ['JOURNAL_STREAM']
            ok('ready', wait_for(lambda: journal.find('READY'), 10), journal.messages)
            ready = journal.find('READY')[0]
            ok('with priority, name and the words of the log', ready.get('PRIORITY') == '6' and ready.get('SYSLOG_IDENTIFIER') == 'sluiced'
               and ready.get('MESSAGE', '').startswith('ready: services=1'), ready)
            ok('and not a second time as a line', 'ready: services' not in gate.log(), gate.log())
            ok('other lines are lines, with their level', re.search(r'^<[3-7]>', gate.log(), re.M), gate.log())
            broken = os.path.join(policy, 'broken.yaml')
            with open(broken, 'w') as file:
                file.write('rules: 7\n')
            gate.ctl('policy', 'reload')
            ok('a policy refused', wait_for(lambda: journal.find('POLICY_REFUSED'), 5) and
               journal.find('POLICY_REFUSED')[0]['PRIORITY'] == '3', journal.messages)
            os.unlink(broken)
            gate.ctl('policy', 'reload')
            ok('a policy in force', wait_for(lambda: journal.find('POLICY_LOADED'), 5), journal.messages)
            for _ in range(4):
                chat(ground, 'say BAD', False)
            ok('an alert, from the process that tells', wait_for(lambda: journal.find('ALERT'), 10) and
               'SluiceBlocksMany' in str(journal.find('ALERT')), journal.messages)
            ok('and that its receiver is gone', wait_for(lambda: journal.find('ALERT_UNTOLD'), 10), journal.messages)
            ok('and its end', wait_for(lambda: journal.find('ALERT_OVER'), 20), journal.messages)
            os.kill(gate.status()['worker_pid'], signal.SIGKILL)
            ok('a worker gone, from the keeper', wait_for(lambda: journal.find('WORKER_GONE'), 10) and
               'SIGKILL' in journal.find('WORKER_GONE')[0]['MESSAGE'], journal.messages)
            ok('and the next one ready', wait_for(lambda: len(journal.find('READY')) == 2, 20), journal.messages)
            ok('checkpoints, signed', wait_for(lambda: journal.find('CHECKPOINT'), 10) and
               'SLUICE_CHECKPOINT' in journal.find('CHECKPOINT')[0]['text'], journal.messages)
            ok('it stops', gate.stop(), gate.log())
            ok('stopping', journal.find('STOPPING'), journal.messages)
            ok('no word of an answer', ALPHA not in str(journal.messages))


catalog()
events()
finish()
