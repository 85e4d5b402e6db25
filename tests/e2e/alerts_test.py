#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""alerts_test - alerts are pushed to Alertmanager and to a webhook, begin and end, and are in nobody's way."""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import ALPHA, HOST, TOP, Ground, alive, chat, finish, free_port, isolate, ok, refused, run, skip, wait_for
from hook import Hook

isolate(120)
TOKEN = 'planted-token-7'
RELEASE = os.path.join(TOP, 'build', 'release', 'sluiced')


class Alertmanager:
    def __init__(self, folder):
        self.port = free_port()
        self.file, self.log = os.path.join(folder, 'am.yml'), os.path.join(folder, 'am.log')
        with open(self.file, 'w') as file:
            file.write('route: {receiver: none, group_wait: 0s, group_interval: 1s}\nreceivers: [{name: none}]\n')
        with open(self.log, 'w') as log:
            self.process = subprocess.Popen(
                ['prometheus-alertmanager', '--config.file=' + self.file, '--storage.path=' + os.path.join(folder, 'am'),
                 '--web.listen-address=%s:%d' % (HOST, self.port), '--cluster.listen-address='], stdout=log, stderr=log)
        self.url = 'http://%s:%d' % (HOST, self.port)

    def alerts(self):
        """Those that fire now; None: it does not answer."""
        try:
            with urllib.request.urlopen(self.url + '/api/v2/alerts', timeout=5) as answer:
                return json.load(answer)
        except OSError:
            return None

    def has(self, name, **labels):
        return [a for a in self.alerts() or [] if a['labels']['alertname'] == name and
                all(a['labels'].get(k) == v for k, v in labels.items())]

    def stop(self):
        self.process.kill()
        self.process.wait()


def herald(gate):
    worker = gate.status()['worker_pid']
    return next((pid for pid in gate.children() if pid != worker), None)


def metric(name):
    with urllib.request.urlopen('http://127.0.0.1:9466/metrics', timeout=10) as answer:
        text = answer.read().decode()
    return next((float(line.split()[1]) for line in text.splitlines() if line.startswith(name + ' ')), None)


def health():
    try:
        with urllib.request.urlopen('http://127.0.0.1:9466/healthz', timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.read().decode()


def blocks(ground, count=6):
    answers = [chat(ground, 'say BAD', False) for _ in range(count)]
    ok('blocks, as ever', all(refused(a) for a in answers), answers)


def rises_and_falls(ground, gate, hook, manager):
    blocks(ground)
    ok('blocks over a rate: the webhook hears of it', hook.wait('SluiceBlocksMany', 'firing'), gate.log())
    first = next(m for m in hook.messages if any(a['alert'] == 'SluiceBlocksMany' for a in m['alerts']))
    alert = next(a for a in first['alerts'] if a['alert'] == 'SluiceBlocksMany')
    ok('in the form that is documented', first['version'] == 1 and first['source'] == 'sluice' and first['host'] == socket.gethostname()
       and alert['service'] == 'ground' and alert['severity'] == 'warning' and alert['runbook'] == 'docs/runbook.md#sluiceblocksmany', first)
    if manager:
        found = wait_for(lambda: manager.has('SluiceBlocksMany', service='ground', severity='warning', job='sluice'), 20)
        ok('Alertmanager has it, by name, service and host', found and found[0]['labels']['instance'] == socket.gethostname(), manager.alerts())
    ok('it is over when the window is: the webhook', hook.wait('SluiceBlocksMany', 'resolved'), gate.log())
    if manager:
        ok('it is over when the window is: Alertmanager', wait_for(lambda: not manager.has('SluiceBlocksMany'), 20), manager.alerts())


def troubled(ground, gate, hook):
    """Receivers that are gone, redirect, fail or hang: said again later, and nobody waits."""
    for how, then in (('redirect', 'error'), ('hang', 'hang')):
        begun, firing = len(hook.asked), hook.said().count(('SluiceBlocksMany', 'firing'))
        hook.how = how
        blocks(ground)
        ok('%s: it is tried' % how, wait_for(lambda: len(hook.asked) > begun, 20), gate.log())
        begun, hook.how = len(hook.asked), then
        if then != how:
            ok('%s: and tried again' % how, wait_for(lambda: len(hook.asked) > begun, 20), gate.log())
        answer = chat(ground, 'say GOOD')
        ok('%s: clients do not wait (%.2f s)' % (how, answer.seconds), answer.complete, answer)
        hook.how = 'ok'
        ok('%s: and told when it can be' % how, hook.wait('SluiceBlocksMany', 'firing', firing + 1, 30), (hook.said(), gate.log()))
        ok('%s: with its end' % how, hook.wait('SluiceBlocksMany', 'resolved', firing + 1, 30), (hook.said(), gate.log()))
    ok('a redirect is not followed', '/elsewhere' not in hook.asked, hook.asked)
    ok('failures are counted', metric('sluice_alert_failures_total') >= 2 and metric('sluice_alert_messages_total') >= 2, gate.log())


def policy(gate, hook):
    """The policy is 5 seconds old at once, and young again when it is reloaded."""
    ok('policy too old', hook.wait('SluicePolicyOld', 'firing'), gate.log())
    gate.ctl('policy', 'reload')
    ok('policy too old: over when it is reloaded', hook.wait('SluicePolicyOld', 'resolved'), gate.log())


def beside(ground):
    """A listener on a Unix socket inside the unit cannot be guarded."""
    program = 'import socket, time; s = socket.socket(socket.AF_UNIX); s.bind(%r); s.listen(); time.sleep(60)' % \
        os.path.join(ground.dir, 'side.sock')
    return subprocess.Popen([sys.executable, '-c', program], preexec_fn=ground.join)


def record(ground, gate, hook):
    ballast = os.path.join(gate.record, 'ballast')
    with open(ballast, 'wb', 0) as file:
        try:
            while True:
                file.write(bytes(65536))
        except OSError:
            pass
    for i in range(3000):
        if hook.said().count(('SluiceRecordFailed', 'firing')):
            break
        chat(ground, 'say GOOD', False)
    ok('record failure', hook.wait('SluiceRecordFailed', 'firing'), gate.log())
    answer = health()
    ok('record failure: health says so', answer[0] == 503 and 'disk is full' in answer[1], answer)
    os.unlink(ballast)
    ok('record failure: over when there is space', hook.wait('SluiceRecordFailed', 'resolved'), gate.log())
    ok('record failure: health is well again', health() == (200, 'ok\n'), health())


DEAF = '''
import socket, time
listener = socket.create_server(("%s", %d))
while True:
    s, _ = listener.accept()
    s.recv(65536)
    s.sendall(b"HTTP/1.1 200 OK\\r\\ncontent-type: text/event-stream\\r\\nconnection: close\\r\\n\\r\\n"
              b'data: {"choices":[{"index":0,"delta":{"content":"%s is it"}}]}\\n\\n')
    time.sleep(5)
'''


def not_confirmed(ground, hook, gate, port):
    """A server that goes on when it is told to stop."""
    class Deaf:
        host = HOST
    Deaf.port = port
    server = subprocess.Popen([sys.executable, '-c', DEAF % (HOST, port, ALPHA)], preexec_fn=ground.join)
    ok('a deaf server', wait_for(lambda: chat(Deaf, 'say BAD').raw, 10), gate.log())
    ok('generation not confirmed stopped', hook.wait('SluiceStopNotConfirmed', 'firing'), gate.log())
    ok('generation not confirmed stopped: over after a window', hook.wait('SluiceStopNotConfirmed', 'resolved'), gate.log())
    server.kill()
    server.wait()


def private(ground, gate, hook):
    text = json.dumps(hook.messages) + gate.log()
    ok('no word of an answer, no path and no key is told or logged', hook.messages and ALPHA not in text and TOKEN not in text
       and str(hook.port) + '/' not in text and ground.dir not in json.dumps(hook.messages), text[-2000:])
    ok('the webhook is given its token', all(h.get('Authorization') == 'Bearer ' + TOKEN for h in hook.heads), hook.heads[:1])


def powerless(gate):
    with open('/proc/%d/status' % herald(gate)) as file:
        fields = dict(line.rstrip('\n').split(':\t', 1) for line in file if ':\t' in line)
    ok('who tells has no capability, a filter, and no new privileges', int(fields['CapEff'], 16) == int(fields['CapBnd'], 16) == 0 and
       fields['Seccomp'] == '2' and fields['NoNewPrivs'] == '1', fields)
    links = [os.readlink('/proc/%d/fd/%s' % (herald(gate), fd)) for fd in os.listdir('/proc/%d/fd' % herald(gate))]
    ok('and nothing of the keeper\'s', not [link for link in links if 'bpf' in link or 'signalfd' in link], links)


with Ground('chat') as ground:
    hook, deaf = Hook(), free_port()
    manager = Alertmanager(ground.dir) if shutil.which('prometheus-alertmanager') else None
    credentials = os.path.join(ground.dir, 'credentials')
    os.mkdir(credentials)
    with open(os.path.join(credentials, 'alerts.token'), 'w') as file:
        file.write(TOKEN + '\n')
    os.environ['CREDENTIALS_DIRECTORY'] = credentials
    alerts = {'webhook': 'http://%s:%d/hook' % (HOST, hook.port), 'blocks': 3, 'window': '3s', 'policy_age': '5s'}
    if manager:
        alerts['alertmanager'] = manager.url + '/'
        ok('Alertmanager is up', wait_for(lambda: manager.alerts() is not None, 20), open(manager.log).read())
    else:
        skip('Alertmanager', 'prometheus-alertmanager is not there')
    services = [{'name': 'ground', 'cgroup': '/' + ground.name, 'ports': [ground.port, deaf], 'fail': 'open'}]
    gate = ground.gate(services=services, alerts=alerts, metrics={'listen': '127.0.0.1:9466'}, limits={'stop_timeout': '100ms'})
    gate.config['record'].update({'segment': '128K', 'space_left': 0, 'admin_space_left': 0})
    os.makedirs(gate.record)
    run('mount', '-t', 'tmpfs', '-o', 'size=6m', 'none', gate.record)
    with gate:
        powerless(gate)
        side = beside(ground)
        rises_and_falls(ground, gate, hook, manager)
        ok('unguarded server', hook.wait('SluiceUncovered', 'firing', 1, 40), (gate.status(), gate.log()))
        side.kill()
        side.wait()
        policy(gate, hook)
        not_confirmed(ground, hook, gate, deaf)
        record(ground, gate, hook)
        troubled(ground, gate, hook)
        ok('unguarded server: over when it is gone', hook.wait('SluiceUncovered', 'resolved', 1, 40), gate.status())
        private(ground, gate, hook)
        old = herald(gate)
        os.kill(old, signal.SIGKILL)
        ok('killed, it is made again', wait_for(lambda: len(gate.children()) == 2 and herald(gate) not in (None, old), 30), gate.log())
        ok('and the worker has not noticed', chat(ground, 'say GOOD').complete, gate.log())
        gate.kill()
        ok('the keeper dies, everybody with it', wait_for(lambda: not gate.children(), 5))
        ok('fail: open', chat(ground, 'say GOOD').complete)
        gate.start()
        ok('fail-open', hook.wait('SluiceFailOpen', 'firing'), gate.log())
        ok('the daemon is sound', gate.sound(), gate.log())
        ok('it stops by itself, without a leak', gate.stop(), gate.log())
    run('umount', '-l', gate.record)
    if manager:
        manager.stop()
finish()
