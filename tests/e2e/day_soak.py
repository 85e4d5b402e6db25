#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""day_soak.py - a day of a busy host in twenty minutes: memory, descriptors, map entries and records stay as they should.

    day_soak.py [SECONDS] [SEED]      1200 seconds; not part of the checks

10,500 connections (fewer where descriptors are short: it says so), of which 500 are busy; every byte that a client gets
is compared by tests/bench/soakload. First nothing but policies change, then the daemon and the server are hit by all
that an operator or a crash can do to them, in turn. Ends with a table and a line for each thing that must hold.

Bounds: memory of all processes together (PSS), fitted by a line over the quiet part, may rise by 3 % of its mean and
4 MB; the keeper's own (RSS), over the whole run, by 1 MB. Descriptors and map entries are back where they began.
"""
import collections
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import (ALPHA, CLIENT, HOST, POLICY, TOP, Ground, alive, ask, binary, cgroup_mount, finish, free_port, isolate,
                  memory_of, need, ok, remove_cgroup, run, wait_for)

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 1200
SEED = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns() % 1000000
BENCH = os.path.join(TOP, 'build', 'release', 'bench')
BUSY, SLOW, KEPT, SILENT = 500, 6400, 2000, 1600
PAUSE = max(1.0, min(5.0, SECONDS / 120))  # of slow streams, between two events
WARM, STEADY = 0.15, 0.4                   # parts of the time; the rest is rough
LONGEST = 24                               # pauses that a slow stream has at most
MEGABYTE = 1 << 20
LINGER = 16 * 60                           # ids of dead cgroups stay for 15 minutes, so that their orphans stay fenced
isolate(int(SECONDS) + 900)
need(os.path.join(BENCH, 'soakload'), os.path.join(BENCH, 'fastserver'))
rng = random.Random(SEED)
begin = time.monotonic()


def now():
    return time.monotonic()


def crowd():
    """How many of each kind: each takes two descriptors of the worker, which keeps some for itself."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    wanted = 2 * (BUSY + SLOW + KEPT + SILENT) + 500
    part = min(1.0, (limit - 500 - 2 * BUSY) / (wanted - 500 - 2 * BUSY))
    return [BUSY, *(int(n * part) for n in (SLOW, KEPT, SILENT))]


# ---- what runs ----

class Server(Ground):
    """fastserver, in a cgroup that is new each time, as a unit's is."""

    def __init__(self):
        super().__init__('none')
        self.parent, self.life = self.cgroup, 0

    def serve(self):
        self.life += 1
        self.cgroup = os.path.join(self.parent, 'run-%d' % self.life)
        os.mkdir(self.cgroup)
        self.start([os.path.join(BENCH, 'fastserver'), '--host', HOST, '--port', str(self.port)])

    def end(self):
        self.process.kill()
        self.process.wait(10)
        wait_for(lambda: remove_cgroup(self.cgroup), 10)


class Crowd:
    """soakload, and what it says."""

    def __init__(self, ground, counts):
        self.target, self.seen, self.said = sum(counts), {}, collections.defaultdict(list)
        command = [os.path.join(BENCH, 'soakload'), '--host', HOST, '--from', CLIENT, '--port', str(ground.port), '--pause',
                   str(PAUSE)]
        for name, n in zip(('busy', 'slow', 'kept', 'silent'), counts):
            command += ['--' + name, str(n)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors='replace')
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        for line in self.process.stdout:
            letter, _, rest = line.partition(' ')
            if letter == 'T':
                fields = rest.split()
                self.seen = dict(zip(('open', 'clean', 'refused', 'events', 'bytes'), map(int, fields[1:])))
            elif letter == 'R':
                self.said['R'].append(rest.split())
            else:
                born, began, over, port, kind, why = rest.rstrip('\n').split(' ', 5)
                self.said[letter].append((float(born), float(began), float(over), int(port), kind, why))

    def end(self):
        self.process.terminate()
        self.process.wait(300)
        self.thread.join(10)


# ---- what is done to them ----

class Acts:
    """Each has a time at which it began and one at which all was well again; answers that it cut are its own."""

    def __init__(self, ground, gate, folder):
        self.ground, self.gate, self.folder, self.turn = ground, gate, folder, 0
        self.windows, self.failed, self.done, self.server_restarts, self.log = [], [], collections.Counter(), [], []

    def act(self, name):
        self.done[name] += 1
        t = now()
        getattr(self, name)()
        self.log.append((name, t, now()))

    def ready(self, name, seconds=60):
        if not wait_for(self.gate.ready, seconds, 0.05):
            self.failed.append('%s: not ready again\n%s' % (name, self.gate.log()))

    def asked(self, verb):
        done = self.gate.ctl(verb, timeout=120)
        if done.returncode:
            self.failed.append('%s: %s' % (verb, done.stderr.decode(errors='replace')))

    def policy(self):
        """Another policy, read by the worker that serves."""
        self.turn += 1
        with open(os.path.join(self.folder, 'turn.yaml'), 'w') as file:
            file.write('pack: turn\nversion: "%d"\nrules:\n  - {id: turn.word, risk: A.1.d, action: block, keywords: '
                       '["no text has this %d"]}\n' % (self.turn, self.turn))
        self.asked('reload')

    def configuration(self):
        """Another configuration: the next worker takes over."""
        self.turn += 1
        self.gate.config['limits']['stop_timeout'] = '%dms' % (1000 + self.turn)
        self.gate.write()
        self.asked('reload')

    def upgrade(self):
        self.asked('upgrade')

    def worker_killed(self):
        status = self.gate.status() or {}
        t = now()
        if not status.get('worker_pid'):
            self.failed.append('no worker to kill')
            return
        os.kill(status['worker_pid'], signal.SIGKILL)
        wait_for(lambda: not alive(status['worker_pid']), 20, 0.01)
        self.windows.append(('worker', 'worker killed', t, now()))
        self.ready('worker killed')

    def keeper_killed(self):
        t = now()
        self.gate.kill()
        self.gate.start()
        self.windows.append(('all', 'keeper killed', t, now()))

    def restart(self):
        t = now()
        if not self.gate.stop():
            self.failed.append('it did not stop by itself: %s\n%s' % (self.gate.process.returncode, self.gate.log()))
        self.gate.start()
        self.windows.append(('all', 'restart', t, now()))

    def server_restarted(self):
        t = now()
        self.server_restarts.append(t)
        self.ground.end()
        self.ground.serve()
        self.windows.append(('all', 'server restarted', t, now()))

    def near(self, one):
        """What was done last before the end of that answer, and how long before."""
        name, t = max(((n, t) for n, t, _ in self.log if t <= one[2]), key=lambda a: a[1], default=('the begin', begin))
        return '%s %s, %d s behind %s' % (one[4], one[5], one[2] - t, name)

    def excuse(self, one):
        """Whether one of them was the end of that answer."""
        born, _, over, _, _, _ = one
        for what, _, t1, t2 in self.windows:
            if what == 'worker' and born <= t2 and t1 <= over <= t2 + 5:
                return True
            if what == 'all' and t1 <= over <= t2 + 3:
                return True
        return False


ROUGH = ('configuration', 'worker_killed', 'server_restarted', 'upgrade', 'policy', 'restart', 'configuration', 'keeper_killed')


# ---- what is looked at ----

def pss_of(pid):
    try:
        with open('/proc/%d/smaps_rollup' % pid) as file:
            for line in file:
                if line.startswith('Pss:'):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def descriptors(pid):
    try:
        return len(os.listdir('/proc/%d/fd' % pid))
    except OSError:
        return 0


def entries(pins):
    """Entries of each pinned hash."""
    found = {}
    for name in ('guarded', 'dials', 'members', 'places', 'services', 'service_ports'):
        path = os.path.join(pins, name)
        if os.path.exists(path):
            out = run('bpftool', '-j', 'map', 'dump', 'pinned', path, capture_output=True).stdout
            found[name] = len(json.loads(out))
    found['pins'] = len(os.listdir(pins))
    return found


class Watch(threading.Thread):
    """Looks at all processes every second or two, and asks for metrics as Prometheus does."""

    def __init__(self, gate, crowd_of, metrics):
        super().__init__(daemon=True)
        self.gate, self.crowd, self.metrics, self.samples, self.over = gate, crowd_of, metrics, [], threading.Event()
        self.mismatches = 0

    def run(self):
        while not self.over.wait(max(1.0, SECONDS / 600)):
            try:
                with urllib.request.urlopen('http://%s/metrics' % self.metrics, timeout=10) as answer:
                    for line in answer.read().decode().splitlines():
                        if line.startswith('sluice_coverage_mismatch_total'):
                            self.mismatches += int(float(line.split()[-1]))
            except OSError:
                pass
            keeper, below = self.gate.process.pid, self.gate.children()
            self.samples.append({'t': now(), 'keeper': pid_rss(keeper), 'keeper_pid': keeper, 'below': len(below),
                                 'pss': pss_of(keeper) + sum(pss_of(pid) for pid in below),
                                 'worker': max([pid_rss(pid) for pid in below], default=0),
                                 'keeper_fds': descriptors(keeper), 'worker_fds': max([descriptors(pid) for pid in below], default=0),
                                 **self.crowd.seen})


def pid_rss(pid):
    try:
        return memory_of(pid)
    except OSError:
        return 0


def rise(samples, name):
    """What a line through the samples rises by from the first to the last."""
    n = len(samples)
    if n < 5:
        return 0.0
    xs, ys = [s['t'] for s in samples], [s[name] for s in samples]
    mx, my = sum(xs) / n, sum(ys) / n
    slope = sum((x - mx) * (y - my) for x, y in zip(xs, ys)) / sum((x - mx) ** 2 for x in xs)
    return slope * (xs[-1] - xs[0])


def table(samples, rows=24):
    heads = ('second', 'PSS MB', 'worker MB', 'keeper MB', 'processes', 'worker fds', 'keeper fds', 'open', 'clean', 'refused', 'MB read')
    print('\n| ' + ' | '.join(heads) + ' |\n|' + '---:|' * len(heads))
    step = max(1, len(samples) // rows)
    for s in samples[::step]:
        print('| %d | %.1f | %.1f | %.1f | %d | %d | %d | %d | %d | %d | %.1f |' %
              (s['t'] - begin, s['pss'] / MEGABYTE, s['worker'] / MEGABYTE, s['keeper'] / MEGABYTE, 1 + s['below'], s['worker_fds'],
               s['keeper_fds'], s.get('open', 0), s.get('clean', 0), s.get('refused', 0), s.get('bytes', 0) / MEGABYTE))
    print(flush=True)


# ---- the record ----

class Records:
    """The ledger, read once, a record at a time."""

    def __init__(self, record):
        self.blocked, self.cleared, self.kinds, self.unread = collections.Counter(), 0, collections.Counter(), []
        self.ids, findings, self.twice, self.begun = collections.Counter(), collections.Counter(), collections.Counter(), ''
        reader = subprocess.Popen([binary('sluicectl'), 'events', '-D', os.path.join(record, 'ledger'), '-o', 'json'], stdout=subprocess.PIPE)
        for line in reader.stdout:
            event = json.loads(line)
            exchange, finding = event.get('exchange'), event.get('finding')
            if event.get('lifecycle', {}).get('kind') in ('START', 'RELOAD', 'STOP'):
                self.begun = event['lifecycle']['kind']
            self.kinds.update(k for k in event if isinstance(event[k], dict))
            if finding and finding.get('verdict') == 'BLOCKED':
                findings[finding.get('exchange_id')] += 1
            if exchange:
                self.twice[self.begun] += exchange['exchange_id'] in self.ids
                self.take(exchange)
        self.status = reader.wait(60)
        self.loose = len(set(findings) - set(self.ids))

    def take(self, exchange):
        self.ids[exchange['exchange_id']] += 1
        c = exchange.get('coverage', {})
        if int(c.get('in', 0)) != sum(int(c.get(k, 0)) for k in ('scanned', 'structural', 'withheld')):
            self.unread.append(exchange)
        if exchange.get('verdict') == 'BLOCKED':
            self.blocked[int(exchange.get('src', {}).get('port', 0))] += 1
        elif exchange.get('verdict') == 'CLEARED':
            self.cleared += 1


def make_policy(folder):
    shutil.copytree(POLICY, folder)
    words = {''.join(chr(rng.randrange(0x4E00, 0x9FA0)) for _ in range(rng.randint(3, 6))) for _ in range(5000)}
    with open(os.path.join(folder, 'words.txt'), 'w') as file:
        file.write('\n'.join(sorted(words)) + '\n')
    with open(os.path.join(folder, 'many.yaml'), 'w') as file:
        file.write('pack: many\nversion: "1"\nrules:\n  - {id: many.words, risk: A.1.d, action: block, keywords_file: words.txt}\n')


def settled(gate):
    """Nobody drains, nothing is open."""
    status = gate.status() or {}
    return status.get('ready') and status['counters']['open'] == 0 and len(gate.children()) == HELPERS + 1


def figures(gate, pins):
    wait_for(lambda: settled(gate), 200, 0.5)
    status = gate.status()
    return {'worker fds': descriptors(status['worker_pid']), 'keeper fds': descriptors(gate.process.pid),
            'processes': 1 + len(gate.children()), 'dials': status['dials'], **entries(pins)}


def show(what, some):
    print('  %-20s %s' % (what, ' '.join('%s=%s' % item for item in some.items())), flush=True)


HELPERS = 1  # the herald: alerts are pushed to where nobody listens
counts = crowd()
print('# seed %d, %d seconds: %d busy, %d slow, %d kept, %d silent clients, an event in %.1f to %.1f s of slow streams'
      % (SEED, SECONDS, *counts, PAUSE, 2 * PAUSE))
if counts != [BUSY, SLOW, KEPT, SILENT]:
    print('# fewer than 10,500: the limit of descriptors is %d' % resource.getrlimit(resource.RLIMIT_NOFILE)[0])
with Server() as ground:
    folder, metrics = os.path.join(ground.dir, 'policy.d'), '127.0.0.1:%d' % free_port('127.0.0.1')
    make_policy(folder)
    ground.serve()
    services = [{'name': 'ground', 'cgroup': '/' + ground.name, 'ports': [ground.port], 'fail': 'closed'}]
    with ground.gate(policy=folder, services=services, metrics={'listen': metrics}, limits={'stop_timeout': '1s'},
                     alerts={'webhook': 'http://127.0.0.1:9/nobody'}, log={'level': 'warn'}) as gate:
        gate.config['record']['segment'] = '4M'
        gate.stop()
        gate.write()
        gate.start()
        pins, acts = gate.config['capture']['pins'], Acts(ground, gate, folder)
        ask(ground, body=b'{"say":"%s"}' % ALPHA.encode(), fields=())
        acts.policy()
        before = figures(gate, pins)
        load = Crowd(ground, counts)
        watch = Watch(gate, load, metrics)
        watch.start()
        ok('the crowd is there', wait_for(lambda: load.seen.get('open', 0) >= 0.99 * load.target, 60), load.seen)
        # a stream keeps the policy that it began with: as many are there at the begin of the quiet part as at its end
        gap = STEADY * SECONDS / 4
        for _ in range(max(1, round(max(WARM * SECONDS, LONGEST * PAUSE) / gap))):
            time.sleep(gap)
            acts.act('policy')
        steady_from = now()
        for _ in range(4):
            acts.act('policy')
            time.sleep(gap)
        steady_to = now()
        pause, k = max(3.0, SECONDS * (1 - WARM - STEADY) / 32), 0
        while now() < steady_to + SECONDS * (1 - WARM - STEADY) or k < len(ROUGH):
            acts.act(ROUGH[k % len(ROUGH)])
            k += 1
            time.sleep(pause)
        load.end()
        watch.over.set()
        watch.join(30)
        after = figures(gate, pins)
        table(watch.samples)
        show('before', before)
        show('after', after)
        show('done', acts.done)
        show('took at most, s', {name: '%.1f' % max(t2 - t1 for n, t1, t2 in acts.log if n == name) for name in acts.done})
        show('clients saw', {**load.seen, **{letter: len(some) for letter, some in load.said.items()}})
        records = Records(gate.record)
        show('on record', {**records.kinds, 'blocked': sum(records.blocked.values()), 'cleared': records.cleared,
                           'findings without an exchange': records.loose})
        print()

        quiet = [s for s in watch.samples if steady_from <= s['t'] <= steady_to]
        mean = sum(s['pss'] for s in quiet) / max(1, len(quiet))
        up = rise(quiet, 'pss')
        ok('memory of all processes is flat: %.1f MB, a line rises by %.2f MB in %d s (bound %.2f)'
           % (mean / MEGABYTE, up / MEGABYTE, steady_to - steady_from, (mean * .03 + 4 * MEGABYTE) / MEGABYTE),
           len(quiet) > 4 and up <= mean * .03 + 4 * MEGABYTE)
        keepers = [s for s in watch.samples if s['t'] >= steady_from and s['keeper']]
        up = rise(keepers, 'keeper')
        ok('memory of the keeper is flat: a line rises by %.2f MB in %d s (bound 1)'
           % (up / MEGABYTE, keepers[-1]['t'] - keepers[0]['t']), up <= MEGABYTE)
        for name in ('worker fds', 'keeper fds', 'processes', 'dials'):
            ok('%s: back where they were (%d, %d)' % (name, before[name], after[name]), after[name] <= before[name])
        dead = sum(t > now() - LINGER for t in acts.server_restarts)
        for name in entries(pins):
            more = dead if name == 'members' else 0
            ok('map entries, %s: back where they were (%d, %d%s)' % (name, before[name], after[name], ', %d dead units linger' % more if more else ''),
               after[name] <= before[name] + more)
        broken = [one for one in load.said['X'] + load.said['S'] if not acts.excuse(one)]
        ok('%d answers that nothing hit are whole, %d were cut by what was done' %
           (load.seen['clean'], len(load.said['X']) + len(load.said['S']) - len(broken)), not broken,
           '%d\n%s\n%s' % (len(broken), '\n'.join('%d %s' % (n, what) for what, n in collections.Counter(map(acts.near, broken)).most_common(20)),
                           '\n'.join(map(str, acts.log))))
        ok('no byte came that should not have', not load.said['W'], '\n'.join(map(str, load.said['W'][:20])))
        ports = collections.Counter(int(port) for _, port, _ in load.said['R'])
        missing = sum((ports - records.blocked).values())
        ok('%d refusals seen, each on record' % len(load.said['R']), len(load.said['R']) > 10 and missing <= records.loose, (missing, records.loose))
        # what a worker that drains had sent to one that died, and not heard of, it sends to the next one
        ok('no exchange is on record twice, but behind a death (%d there)' % records.twice['START'],
           not sum(n for kind, n in records.twice.items() if kind != 'START'), records.twice)
        ok('every byte was read: in = scanned + structural + withheld, %d times' % len(records.ids),
           not records.unread and not watch.mismatches and records.status == 0, (records.status, watch.mismatches, records.unread[:3]))
        ok('no record was lost', not records.kinds['loss'] and not (gate.status() or {'counters': {'records_lost': 1}})['counters']['records_lost'], records.kinds)
        sound = subprocess.run([binary('sluicectl'), 'verify', '-D', gate.record], capture_output=True, timeout=600)
        ok('the record is sound', sound.returncode == 0, sound.stdout.decode()[-2000:])
        ok('all that was asked of the daemon was done', not acts.failed, '\n'.join(acts.failed))
        ok('it is sound, and stops by itself', gate.sound() and gate.stop(), gate.log())
finish()
