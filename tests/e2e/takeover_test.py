#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""takeover_test - configuration, worker and program are replaced under load: no request fails, no byte passes unread,
and every exchange has its one record."""
import collections
import contextlib
import os
import shutil
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import (ALPHA, CHAT, POLICY, Answer, Ground, alive, binary, chat, dial, finish, free_port, isolate, json, leaks, ok,
                  read_answer, receive, refused, request_bytes, wait_for)

isolate(300)


def body_of(words, **more):
    return {'model': 'ground', 'stream': True, 'messages': [{'role': 'user', 'content': words}], **more}


class Load:
    """Clients that never stop asking: new connections, connections kept, and long streams. What went wrong is kept."""

    def __init__(self, ground):
        self.ground, self.wrong, self.asked, self.stop = ground, [], collections.Counter(), threading.Event()
        self.lock = threading.Lock()
        work = [self.fresh, self.fresh_bad, self.kept, self.kept, self.streams, self.streams]
        self.threads = [threading.Thread(target=self.run, args=(w,), daemon=True) for w in work]

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for t in self.threads:
            t.join(60)

    def run(self, work):
        try:
            work()
        except Exception as problem:  # every one of them is a failed request
            self.bad(work.__name__, repr(problem))

    def bad(self, kind, what):
        with self.lock:
            self.wrong.append('%s: %s' % (kind, what))

    def count(self, kind):
        with self.lock:
            self.asked[kind] += 1

    def judge(self, kind, answer, blocked):
        self.count(kind)
        if not answer.complete or answer.status != 200 or refused(answer) != blocked or leaks(answer.raw, ALPHA):
            self.bad(kind, answer)

    def fresh(self):
        while not self.stop.is_set():
            self.judge('fresh', chat(self.ground, 'say GOOD'), False)
            time.sleep(.01)

    def fresh_bad(self):
        while not self.stop.is_set():
            self.judge('bad', chat(self.ground, 'say BAD', delay=.01), True)

    def kept(self):
        """One connection for all: it moves on between two requests."""
        with dial(self.ground) as s:
            while not self.stop.is_set():
                s.sendall(request_bytes('POST', CHAT, body_of('say GOOD')))
                self.judge('kept', receive(s), False)
                time.sleep(.02)

    def streams(self):
        while not self.stop.is_set():
            with dial(self.ground) as s:
                s.sendall(request_bytes('POST', CHAT, body_of('say GOOD', delay=.08), ['Connection: close']))
                self.judge('streams', receive(s, 60), False)

    def more(self, n=8):
        """Waits until each kind has asked on."""
        with self.lock:
            before = collections.Counter(self.asked)
        return wait_for(lambda: self.wrong or all(self.asked[k] >= before[k] + (n if k in ('fresh', 'kept') else 1)
                                                  for k in ('fresh', 'kept', 'bad', 'streams')), 60)


def generation(gate):
    return (gate.status() or {}).get('generation', 0)


def reload(gate, verb='reload'):
    """True when the daemon says that the new one serves."""
    return gate.ctl(verb, timeout=100)


def records_match(gate, load):
    """Exchanges on record against answers that were had, and twice none."""
    exchanges = gate.exchanges()
    ids = collections.Counter(e['exchange_id'] for e in exchanges)
    verdicts = collections.Counter(e['verdict'] for e in exchanges)
    asked = load.asked
    ok('every exchange has one record: %d' % len(exchanges), sum(asked.values()) == len(exchanges) and max(ids.values()) == 1 and
       verdicts['BLOCKED'] == asked['bad'], (asked, verdicts, len(exchanges), ids.most_common(3)))
    ok('every byte was read: in = scanned + structural + withheld',
       all(int(c.get('in', 0)) == sum(int(c.get(k, 0)) for k in ('scanned', 'structural', 'withheld'))
           for c in (e['coverage'] for e in exchanges)))


def drained(gate):
    return wait_for(lambda: len(gate.children()) == 1, 30)


def under_load(ground):
    program = os.path.join(ground.dir, 'sluiced')
    shutil.copy(binary('sluiced'), program)
    with ground.gate(program=program, limits={'stop_timeout': '2s'}) as gate:
        keeper, first = gate.process.pid, gate.worker()
        with Load(ground) as load:
            load.more()
            # a configuration: another worker
            gate.config['limits'] = {'stop_timeout': '1s'}
            gate.write()
            done = reload(gate)
            ok('reload: it is done when it returns', done.returncode == 0 and generation(gate) == 2, (done, gate.log()))
            load.more()
            ok('reload: the worker before has drained, the keeper is the same', drained(gate) and gate.worker() != first and
               alive(keeper), gate.log())
            # twice at once, by the signal: the one that drains sees its heir replaced
            for n in (3, 4):
                gate.config['limits'] = {'stop_timeout': '%ds' % n}
                gate.write()
                gate.process.send_signal(signal.SIGHUP)
                wait_for(lambda: generation(gate) == n, 60)
            load.more()
            ok('SIGHUP: twice, too', generation(gate) == 4, gate.log())
            # a program: another keeper in the same process
            os.rename(shutil.copy(binary('sluiced'), program + '.new'), program)
            done = reload(gate, 'upgrade')
            ok('upgrade: it is done when it returns', done.returncode == 0 and generation(gate) == 5, (done, gate.log()))
            ok('upgrade: the new program runs, in the same process', gate.process.pid == keeper and
               os.path.samefile('/proc/%d/exe' % keeper, program), gate.log())
            load.more()
            ok('upgrade: nobody is left of the old one', drained(gate), gate.log())
            ok('upgrade: and once more', reload(gate, 'upgrade').returncode == 0 and generation(gate) == 6, gate.log())
            load.more()
        ok('no request failed: %s' % dict(load.asked), not load.wrong and all(not t.is_alive() for t in load.threads),
           '\n'.join(load.wrong[:5]))
        drained(gate)
        wait_for(lambda: len(gate.exchanges()) >= sum(load.asked.values()), 10)
        records_match(gate, load)
        events = gate.events()
        ok('on record: why, each time', [e['lifecycle'].get('reason') for e in events if e.get('lifecycle', {}).get('kind') == 'RELOAD'] ==
           ['configuration'] * 3 + ['upgrade'] * 2, [e['lifecycle'] for e in events if 'lifecycle' in e])
        answers = gate.events('--log', 'ledger')
        ok('the seqs have no gap and the log is sound', [int(e['seq']) for e in answers] == list(range(len(answers))) and
           gate.ctl('verify', '-D', gate.record, timeout=60).returncode == 0, gate.ctl('verify', '-D', gate.record).stdout)
        ok('the daemon is sound', gate.sound(), gate.log())
        ok('it ends by itself', gate.stop(), gate.log())


def services(ground, other):
    """A service more is guarded when reload returns, its older connections are ended; one less passes by us."""
    def row(g, name):
        return {'name': name, 'cgroup': '/' + g.name, 'ports': [g.port], 'fail': 'closed'}
    with ground.gate() as gate:
        stays = gate.config['services'] = [row(ground, 'ground')]
        ok('before: the other server is reached unread', ALPHA in chat(other, 'say BAD').raw.decode())
        with dial(other) as old, dial(ground) as kept:
            gate.config['services'] = stays + [row(other, 'other')]
            gate.write()
            ok('reload: a service more', reload(gate).returncode == 0 and len(gate.status()['services']) == 2, gate.log())
            ok('it is guarded', refused(chat(other, 'say BAD')) and chat(other, 'say GOOD').complete, gate.log())
            answer = Answer()
            with contextlib.suppress(OSError):
                old.sendall(request_bytes('POST', CHAT, body_of('say BAD')))
                answer = receive(old, 5)
            ok('its connections from before are ended', not answer.raw and answer.error != 'timeout', answer)
            kept.sendall(request_bytes('POST', CHAT, body_of('say BAD')))
            ok('connections of the first went on, by the next worker', refused(receive(kept)), gate.log())
        gate.config['services'] = stays
        gate.write()
        ok('reload: a service less', reload(gate).returncode == 0 and len(gate.status()['services']) == 1, gate.log())
        ok('it is reached unread', ALPHA in chat(other, 'say BAD').raw.decode() and refused(chat(ground, 'say BAD')))
        names = {e['exchange']['service']['name'] for e in gate.events() if 'exchange' in e}
        ok('the record knows both', names == {'ground', 'other'}, names)
        ok('the daemon is sound', gate.sound(), gate.log())


def refusals(ground):
    """What cannot be done is named, and everything stays as it was."""
    folder = os.path.join(ground.dir, 'policy.d')
    shutil.copytree(POLICY, folder)
    program = os.path.join(ground.dir, 'sluiced')
    shutil.copy(binary('sluiced'), program)
    with ground.gate(program=program) as gate:
        before, worker, good = generation(gate), gate.worker(), dict(gate.config)
        socket = good['control']

        def tried(name, verb, *words):
            done = gate.ctl('--control', socket, verb, timeout=100)
            said = done.stderr.decode()
            ok('%s: refused by name' % name, done.returncode == 1 and all(w in said for w in words), said or gate.log())
            ok('%s: nothing has changed' % name, generation(gate) == before and gate.worker() == worker and
               refused(chat(ground, 'say BAD')) and len(gate.children()) == 1, gate.log())
        for key, value in (('record', {'dir': os.path.join(ground.dir, 'elsewhere')}), ('loops', 3), ('user', 'nobody'),
                           ('metrics', {'listen': '127.0.0.1:%d' % free_port('127.0.0.1')}),
                           ('capture', {**good['capture'], 'cgroup': 'elsewhere'})):
            gate.config = {**good, key: value}
            gate.write()
            tried('reload with another ' + key, 'reload', key, 'cannot change while the daemon runs')
        gate.config = {**good, 'loops': 3}
        gate.write()
        tried('upgrade with another loops', 'upgrade', 'loops')
        with open(gate.file, 'a') as file:
            file.write('colour: red\n')
        # the daemon reads the file, sluicectl is told where to ask
        gate.file, wrong = os.path.join(ground.dir, 'other.yaml'), gate.file
        gate.config = good
        gate.write()
        tried('reload with a mistake', 'reload', 'sluice.yaml:', 'colour')
        gate.file = wrong
        with open(os.path.join(folder, 'test.yaml'), 'w') as file:
            file.write('pack: broken\nrules: nonsense\n')
        gate.config = {**good, 'policy': folder}
        gate.write()
        tried('reload with a broken policy elsewhere', 'reload', 'test.yaml:')
        ok('it is on record that it was refused', any(e['policy'].get('refused') for e in gate.events() if 'policy' in e))
        tried('upgrade over a broken policy', 'upgrade', 'test.yaml:')
        gate.config = good
        gate.write()
        with open(program + '.new', 'w') as file:
            file.write('#!/bin/sh\necho "not today: this one does not start"\nexit 1\n')
        os.chmod(program + '.new', 0o755)
        os.rename(program + '.new', program)
        tried('upgrade to a program that does not start', 'upgrade', 'not today')
        os.unlink(program)
        tried('upgrade to no program', 'upgrade', 'cannot be run')
        ok('a reload without a change is one of the policy', gate.ctl('reload').returncode == 0 and generation(gate) == before and
           gate.worker() == worker, gate.log())
        ok('the daemon is sound', gate.sound(), gate.log())


def fresh_gate(ground, name, limit):
    """With a record of its own."""
    gate = ground.gate(limits={'drain_timeout': limit})
    gate.record = gate.config['record']['dir'] = os.path.join(ground.dir, name)
    return gate


def long_stream(ground, **more):
    s = dial(ground)
    s.sendall(request_bytes('POST', CHAT, body_of('say LONG', delay=.05, **more)))
    begun = receive(s, 10, limit=2000)
    return s, begun


def patience(ground):
    """What takes longer than it may is ended in its API's words, and is on record."""
    with fresh_gate(ground, 'patience', '60s') as gate:
        s, answer = long_stream(ground)
        first = gate.worker()
        gate.config['limits'] = {'drain_timeout': '1s'}
        gate.write()
        ok('reload with an answer under way', reload(gate).returncode == 0 and len(gate.children()) == 2 and
           not receive_some(s, answer).closed, gate.log())
        receive(s, 30, answer=answer)
        s.close()
        reading = read_answer(answer.body, 'text/event-stream')
        ok('it is ended in its words', answer.complete and reading.errors and 'replaced' in json.dumps(reading.errors), reading.errors)
        ok('and its worker is gone', wait_for(lambda: not alive(first) and len(gate.children()) == 1, 30), gate.log())
        found = wait_for(lambda: [e for e in gate.exchanges() if e.get('exception') == 'replaced'], 5)
        ok('and it is on record', len(found) == 1, gate.exchanges())

def deaths(ground):
    """A worker that dies while another drains loses no record, and cuts what was its own alone."""
    with fresh_gate(ground, 'deaths', '60s') as gate:
        s, answer = long_stream(ground)
        bad = dial(ground)
        bad.sendall(request_bytes('POST', CHAT, body_of('say BAD', delay=.15)))
        first = gate.worker()
        gate.config['limits'] = {'drain_timeout': '61s'}
        gate.write()
        reload(gate)
        second = next(pid for pid in gate.children() if pid != first)
        os.kill(second, signal.SIGKILL)
        found = receive(bad)
        ok('the worker that serves dies: one that drains goes on, and its refusal waits for the next one\'s record',
           refused(found) and not leaks(found.raw, ALPHA) and alive(first) and not receive_some(s, answer).closed, gate.log())
        exchanges = wait_for(lambda: [e for e in gate.exchanges() if e['verdict'] == 'BLOCKED'], 20)
        ok('on record, once', len(exchanges or []) == 1 and len(gate.findings()) == 1, gate.log())
        os.kill(first, signal.SIGKILL)
        receive(s, 10, answer=answer)
        ok('the one that drains dies: its streams end, the others do not know', not answer.complete and
           refused(chat(ground, 'say BAD')) and generation(gate) == 2, gate.log())
        ok('it ends by itself', gate.sound() and gate.stop(), gate.log())

def stopped(ground):
    with fresh_gate(ground, 'stopped', '60s') as gate:
        long_stream(ground)
        gate.config['limits'] = {'drain_timeout': '61s'}
        gate.write()
        reload(gate)
        ok('stopped while one drains: all end, the last record is there', gate.stop() and len(gate.exchanges()) == 1 and
           'STOP' in {e['lifecycle']['kind'] for e in gate.events() if 'lifecycle' in e}, gate.log())


def receive_some(s, answer):
    """A little more of a stream."""
    return receive(s, 10, answer=answer, limit=len(answer.raw) + 400)


with Ground('chat') as ground:
    under_load(ground)
    with Ground('chat') as other:
        services(ground, other)
    refusals(ground)
    for part in (patience, deaths, stopped):
        part(ground)
finish()
