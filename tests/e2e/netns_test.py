#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""netns_test - a server in a network namespace of its own, as a container has: guarded, found when it starts again in a
new one, closed when the daemon dies; the same port in two namespaces; reload, upgrade and hand-over with namespaces."""
from gate import *

isolate(300)
PORT = 8000
run('mount', '--make-rprivate', '/')
run('mkdir', '-p', '/run/netns')


class Pod(Ground):
    """A server behind a veth pair, reached at 10.78.N.2; every start is in a namespace that was not there before."""

    def __init__(self, n, kind='chat', **how):
        super().__init__(kind, host='10.78.%d.2' % n, port=PORT, **how)
        self.n, self.netns, self.inode = n, None, None

    def start(self, command=None):
        self.close()
        self.netns = 'pod%d-%s' % (self.n, os.urandom(3).hex())
        run('ip', 'netns', 'add', self.netns)
        self.inode = os.stat('/run/netns/' + self.netns).st_ino
        mine, theirs = 'v%d-%s' % (self.n, self.netns[-6:]), 'eth0'
        run('ip', 'link', 'add', mine, 'type', 'veth', 'peer', 'name', theirs, 'netns', self.netns)
        run('ip', 'addr', 'add', '10.78.%d.1/24' % self.n, 'dev', mine)
        run('ip', 'link', 'set', mine, 'up')
        for line in ('addr add %s/24 dev eth0' % self.host, 'link set eth0 up', 'link set lo up'):
            run('ip', '-n', self.netns, *line.split())
        super().start(['ip', 'netns', 'exec', self.netns, *self.command()])

    def listening(self):
        for name in ('tcp', 'tcp6'):
            with contextlib.suppress(OSError), open('/proc/%d/net/%s' % (self.process.pid, name)) as file:
                if any(line.split()[1].endswith(':%04X' % self.port) and line.split()[3] == '0A' for line in list(file)[1:]):
                    return True
        return False

    def stop(self):
        super().stop()
        self.close()

    def close(self):
        if self.netns:
            for args in (('link', 'del', 'v%d-%s' % (self.n, self.netns[-6:])), ('netns', 'del', self.netns)):
                subprocess.run(['ip', *args], stderr=subprocess.DEVNULL)
        self.netns = None

    def name_of(self):
        return 'net:[%d]' % self.inode


def service(pod, **more):
    return {'name': 'pod%d' % pod.n, 'cgroup': '/' + pod.name, 'ports': [PORT], 'fail': 'closed', **more}


def guarded(gate, pod):
    """Whether the daemon says that it guards the pod where it is now."""
    status = gate.status()
    return status and any(s['name'] == 'pod%d' % pod.n and pod.name_of() in s['namespaces'] for s in status['services'])


def wait_guarded(gate, pod):
    return wait_for(lambda: guarded(gate, pod), 40, 0.1)


def accepted(gate):
    return gate.status()['counters']['accepted']


PEER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = ('{"peer": "%s %d", "own": "%s %d"}' % (self.request.getpeername()[:2] + self.request.getsockname()[:2])).encode()
        self.send_response(200)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.HTTPServer(('0.0.0.0', int(sys.argv[1])), Handler).serve_forever()
"""


class Mirror(Pod):
    """Answers with both ends of the connection."""

    def command(self):
        return [PYTHON, '-c', PEER, str(PORT)]


class Hammer:
    """Clients that never stop asking for what is forbidden; every byte they get is looked at."""

    def __init__(self, pod, count=6):
        self.pod, self.on, self.leaked, self.failed, self.answers = pod, True, [], [], 0
        self.threads = [threading.Thread(target=self.client, args=(i,), daemon=True) for i in range(count)]
        for t in self.threads:
            t.start()

    def client(self, i):
        while self.on:
            answer = chat(self.pod, 'say BAD' if i % 2 else 'say GOOD', i % 4 < 2, timeout=5)
            if leaks(answer.raw, ALPHA):
                self.leaked.append(answer)
            self.answers += bool(answer.complete)
            if answer.error or not answer.complete:
                self.failed.append(answer)
                time.sleep(0.005)

    def stop(self):
        self.on = False
        for t in self.threads:
            t.join(15)


def one_pod():
    with Pod(1) as pod, pod.gate(services=[service(pod)]) as gate:
        ok('a server in another namespace is guarded', wait_guarded(gate, pod), gate.ctl('status').stdout.decode() + gate.log())
        before = accepted(gate)
        answer = chat(pod, 'say GOOD', False)
        ok('what is harmless passes', answer.complete and answer.status == 200, answer)
        ok('through the daemon', accepted(gate) == before + 1, gate.status()['counters'])
        for stream in (False, True):
            answer = chat(pod, 'say BAD', stream)
            ok('what is forbidden is cut (%s)' % ('stream' if stream else 'whole'),
               refused(answer) and not leaks(answer.raw, ALPHA), answer)
        inside = subprocess.run(['ip', 'netns', 'exec', pod.netns, PYTHON, '-c',
                                 'import socket; s = socket.create_connection(("%s", %d), 5);'
                                 's.sendall(b"GET /health HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"); print(s.recv(99))' % (pod.host, PORT)],
                                capture_output=True)
        ok('somebody in its namespace, not of the unit, is read, too', b'200' in inside.stdout and
           accepted(gate) == before + 4, (inside, accepted(gate), before))
        many = in_threads(200, lambda i: chat(pod, 'say GOOD', i % 2 == 0, timeout=30))
        ok('200 at once are all served', all(getattr(a, 'complete', False) for a in many),
           [a for a in many if not getattr(a, 'complete', False)][:2])
        text = gate.ctl('status').stdout.decode()
        ok('status names the namespace', '@' + pod.name_of() in text, text)
        found = [e for e in gate.exchanges() if str(e['dst'].get('netns')) == str(pod.inode)]
        ok('the record names the namespace', found and found[0]['src']['address'] == '10.78.1.1', gate.exchanges()[:1])

        # it dies under load, and comes again
        hammer = Hammer(pod)
        wait_for(lambda: hammer.answers > 5)
        gate.kill()
        count = hammer.answers
        time.sleep(1)
        dead = chat(pod, 'say GOOD', False, timeout=5)
        ok('kill -9: nobody gets through', not dead.raw and hammer.answers <= count + 6, (dead, hammer.answers, count))
        pod.stop()
        pod.start()
        alone = chat(pod, 'say GOOD', False, timeout=1)
        ok('nor to a server that starts again meanwhile', not alone.raw, alone)
        gate.start()
        ok('after a new start it is guarded again', wait_guarded(gate, pod), gate.log())
        ok('and served', wait_for(lambda: hammer.answers > count + 20), (hammer.answers, count, gate.log()))

        # a container's restart: a new namespace each time
        for i in range(2):
            old = pod.inode
            pod.stop()
            pod.start()
            count = hammer.answers
            ok('restart %d: guarded in the new namespace' % i, wait_guarded(gate, pod), gate.ctl('status').stdout.decode() + gate.log())
            ok('restart %d: and served' % i, wait_for(lambda: hammer.answers > count + 20, 20), (hammer.answers, count, gate.log()))
            ok('restart %d: the old one is let go' % i, wait_for(lambda: 'net:[%d]' % old not in gate.ctl('status').stdout.decode(), 20),
               gate.ctl('status').stdout.decode())
        hammer.stop()
        ok('not one forbidden byte got out', not hammer.leaked, hammer.leaked[:1])
        ok('the daemon is sound', gate.sound(), gate.log())


def ends():
    with Mirror(3) as pod, pod.gate(services=[service(pod)]) as gate:
        ok('a server on all addresses is guarded', wait_guarded(gate, pod), gate.log())
        with dial(pod) as s:
            s.sendall(request_bytes('GET', '/v1/models', host=pod.host))
            answer = receive(s, method='GET')
            want = {'peer': '%s %d' % s.getsockname()[:2], 'own': '%s %d' % (pod.host, PORT)}
        ok('it sees the client and itself', json.loads(bytes(answer.body) or b'{}') == want and accepted(gate) == 1, (answer, want))


def same_port():
    """Three servers on one port: two pods and the host."""
    with Pod(1) as one, Pod(2) as two, Ground('chat', port=PORT) as host:
        names = [service(one), service(two), {'name': 'host', 'cgroup': '/' + host.name, 'ports': [PORT], 'fail': 'closed'}]
        with one.gate(services=names) as gate:
            ok('two namespaces are guarded', wait_guarded(gate, one) and wait_guarded(gate, two), gate.log())
            for g in (one, two, host):
                ok('%s: harmless passes' % g.host, chat(g, 'say GOOD', False).status == 200)
                answer = chat(g, 'say BAD', True)
                ok('%s: forbidden is cut' % g.host, refused(answer) and not leaks(answer.raw, ALPHA), answer)
            seen = {(e['service']['name'], e['dst']['address'], str(e['dst'].get('netns', 0))) for e in gate.exchanges()}
            ok('the same port is told apart', seen == {('pod1', one.host, str(one.inode)), ('pod2', two.host, str(two.inode)),
                                                       ('host', host.host, '0')}, seen)
            # the sibling that is not configured is left alone
            gate.config['services'] = names[:1] + names[2:]
            gate.write()
            done = gate.ctl('reload', timeout=100)
            ok('reload without the second', done.returncode == 0, done)
            answer = chat(two, 'say BAD', False)
            ok('who is of no service is let alone, on the same port', leaks(answer.raw, ALPHA), answer)
            answer = chat(one, 'say BAD', False)
            ok('who is stays guarded', refused(answer) and not leaks(answer.raw, ALPHA), answer)
            found = gate.ctl('discover', '--json', '--all', timeout=60).stdout.decode()
            rows = {(r['address'], r['guarded'], r.get('netns')) for r in map(json.loads, found.splitlines())}
            ok('discover tells them apart', ('%s:%d' % (one.host, PORT), True, one.name_of()) in rows or
               ('0.0.0.0:%d' % PORT, True, one.name_of()) in rows, found)
            ok('and does not call the other one guarded', not any(r[1] and r[2] == two.name_of() for r in rows), found)
            ok('sound', gate.sound(), gate.log())


def window():
    """Between listen() and our being there: the keeper stands still, the fence does not."""
    with Pod(1) as pod, pod.gate(services=[service(pod)]) as gate:
        wait_guarded(gate, pod)
        hammer = Hammer(pod)
        wait_for(lambda: hammer.answers > 5)
        for how in ('closed', 'open'):
            if how == 'open':
                gate.config['services'] = [service(pod, fail='open')]
                gate.write()
                ok('reload to fail: open', gate.ctl('reload', timeout=100).returncode == 0, gate.log())
            pod.stop()
            gate.process.send_signal(signal.SIGSTOP)
            pod.start()
            count = hammer.answers
            got = [chat(pod, 'say GOOD', i % 2 == 0, timeout=1) for i in range(4)]
            ok('fail: %s: nobody is answered unread while the keeper is not there yet' % how,
               not any(a.raw for a in got) and hammer.answers <= count, (got, hammer.answers - count))
            gate.process.send_signal(signal.SIGCONT)
            ok('fail: %s: then it is guarded' % how, wait_guarded(gate, pod), gate.log())
            ok('fail: %s: and served' % how, wait_for(lambda: hammer.answers > count + 20, 20), (hammer.answers, count, gate.log()))
        hammer.stop()
        ok('not one forbidden byte got out', not hammer.leaked, hammer.leaked[:1])


def changes():
    """Reload and upgrade under load: no request fails, none is unread."""
    with Pod(1) as pod, Pod(2) as two:
        program = os.path.join(pod.dir, 'sluiced')
        shutil.copy(binary('sluiced'), program)
        with pod.gate(services=[service(pod)], program=program, limits={'stop_timeout': '2s'}) as gate:
            wait_guarded(gate, pod)
            wait_for(lambda: chat(pod, 'say GOOD', False).status == 200)
            hammer = Hammer(pod)
            for n, verb in enumerate(('reload', 'upgrade', 'reload', 'upgrade'), 2):
                gate.config['limits'] = {'stop_timeout': '%ds' % (n + 1)}
                gate.config['services'] = [service(pod)] + [service(two)] * (n > 3)
                if verb == 'reload':
                    gate.write()
                done = gate.ctl(verb, timeout=100)
                count = hammer.answers
                ok('%s: done' % verb, done.returncode == 0 and gate.status()['generation'] == n, (done, gate.log()))
                ok('%s: it goes on' % verb, wait_for(lambda: hammer.answers > count + 20, 20), (hammer.answers, count, gate.log()))
            ok('a service that came with a reload is guarded in its namespace', wait_guarded(gate, two), gate.log())
            answer = chat(two, 'say BAD', False)
            ok('and read', refused(answer) and not leaks(answer.raw, ALPHA), answer)
            os.kill(gate.worker(), signal.SIGKILL)
            ok('a worker that crashed is followed by one that serves the namespace',
               wait_for(lambda: chat(two, 'say GOOD', False, timeout=5).status == 200, 20), gate.log())
            hammer.stop()
            crashed = sum(1 for a in hammer.failed if a)
            ok('no request failed but those of the crash', crashed <= 12, hammer.failed[:2])
            ok('not one forbidden byte got out', not hammer.leaked, hammer.leaked[:1])
            ok('sound', gate.sound(), gate.log())
            # what it held is let go
            pod.stop()
            ok('a namespace that is gone is let go of by all', wait_for(lambda: not held(gate, pod.inode), 30), held(gate, pod.inode))


def held(gate, inode):
    """Who of the daemon still holds the namespace open."""
    found = []
    for pid in [gate.process.pid] + gate.children():
        with contextlib.suppress(OSError):
            found += [(pid, fd) for fd in os.listdir('/proc/%d/fd' % pid)
                      if 'net:[%d]' % inode in os.readlink('/proc/%d/fd/%s' % (pid, fd))]
    return found or 'net:[%d]' % inode in gate.ctl('status').stdout.decode()


def refusals():
    """Without the capability, and beyond the limit: refused by name, and fenced."""
    with Pod(1) as pod:
        program = os.path.join(pod.dir, 'sluiced')
        with open(program, 'w') as file:
            file.write('#!/bin/sh\nexec setpriv --bounding-set -sys_admin --inh-caps -sys_admin %s "$@"\n' % binary('sluiced'))
        os.chmod(program, 0o755)
        with pod.gate(services=[service(pod)], program=program) as gate:
            pod.stop()
            pod.start()
            ok('without CAP_SYS_ADMIN: status says what is missing',
               wait_for(lambda: pod.name_of() in gate.ctl('status').stdout.decode() and
                        'CAP_SYS_ADMIN' in gate.ctl('status').stdout.decode(), 20), gate.ctl('status').stdout.decode())
            answer = chat(pod, 'say GOOD', False, timeout=1)
            ok('and the server is fenced', not answer.raw, answer)
            ok('the gauge counts it', gate.status()['uncovered'], gate.status())
        with pod.gate(services=[service(pod)]) as gate:
            ok('with it, it is guarded', wait_guarded(gate, pod), gate.log())


def limit():
    """64 namespaces are guarded; those without a server give way to one with."""
    with Pod(1) as pod, pod.gate(services=[service(pod)]) as gate:
        pod.stop()
        idle = crowd(pod, False)
        ok('64 are entered', wait_for(lambda: held_count(gate) >= 64, 60, 0.3), held_count(gate))
        pod.start()
        ok('one of those without a server gives way to one with', wait_guarded(gate, pod), gate.log())
        ok('which is served', wait_for(lambda: chat(pod, 'say GOOD', False, timeout=5).status == 200, 20), gate.log())
        pod.stop()
        disperse(idle)
        busy = crowd(pod, True)
        ok('64 with servers are guarded', wait_for(lambda: sum(len(s['addresses']) for s in of_pod(gate, pod)) >= 64, 60, 0.3),
           of_pod(gate, pod))
        pod.start()
        ok('one more is refused by name', wait_for(lambda: any(pod.name_of() in line and '64 are guarded, which is the most' in line
                                                               for line in (gate.status() or {'uncovered': []})['uncovered']), 40),
           gate.ctl('status').stdout.decode())
        ok('and fenced', not chat(pod, 'say GOOD', False, timeout=1).raw)
        disperse(busy)
        ok('when there is room it is guarded', wait_guarded(gate, pod), gate.log())
        ok('and served', wait_for(lambda: chat(pod, 'say GOOD', False, timeout=5).status == 200, 20), gate.log())
        ok('the daemon is sound', gate.sound(), gate.log())


CROWD = """
import ctypes, os, signal, socket, sys
for i in range(64):
    if os.fork() == 0:
        ctypes.CDLL(None).unshare(0x40000000)
        s = socket.socket()
        s.bind(('0.0.0.0', 8000))
        if sys.argv[1] == 'True':
            s.listen()
        signal.pause()
signal.pause()
"""


def crowd(pod, listens):
    """Processes of the pod's service in 64 namespaces."""
    return subprocess.Popen([PYTHON, '-c', CROWD, str(listens)], preexec_fn=lambda: (pod.join(), os.setsid()))


def disperse(process):
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def of_pod(gate, pod):
    return [s for s in (gate.status() or {'services': []})['services'] if s['name'] == 'pod%d' % pod.n]


def held_count(gate):
    """Namespaces that the keeper has open, beside its own."""
    names = set()
    for fd in os.listdir('/proc/%d/fd' % gate.process.pid):
        with contextlib.suppress(OSError):
            names.add(os.readlink('/proc/%d/fd/%s' % (gate.process.pid, fd)))
    return sum(n.startswith('net:[') for n in names) - 1


# `limit` makes some 130 namespaces: by name alone, netns_test.py limit
parts = (one_pod, ends, same_port, window, changes, refusals)
for part in parts + (limit,):
    if part.__name__ in sys.argv[1:] or (len(sys.argv) < 2 and part in parts):
        part()
finish()
