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
        super().__init__(kind, '--threads' if False else '--port', str(PORT), host='10.78.%d.2' % n, port=PORT, **how)
        self.args, self.n, self.netns, self.inode = [], n, None, None

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
    return wait_for(lambda: guarded(gate, pod), 20, 0.1)


def accepted(gate):
    return gate.status()['counters']['accepted']


class Hammer:
    """Clients that never stop asking for what is forbidden; every byte they get is looked at."""

    def __init__(self, pod, count=6):
        self.pod, self.on, self.leaked, self.unread, self.answers = pod, True, [], [], 0
        self.threads = [threading.Thread(target=self.client, args=(i,), daemon=True) for i in range(count)]
        for t in self.threads:
            t.start()

    def client(self, i):
        while self.on:
            answer = chat(self.pod, 'say BAD' if i % 2 else 'say GOOD', i % 4 < 2, timeout=5)
            if leaks(answer.raw, ALPHA):
                self.leaked.append(answer)
            self.answers += bool(answer.complete)
            if answer.error:
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
                                 'import socket; s = socket.create_connection(("127.0.0.1", %d), 5);'
                                 's.sendall(b"GET /health HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"); print(s.recv(99))' % PORT],
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
        gate.start()
        ok('after a new start it is guarded again', wait_guarded(gate, pod), gate.log())
        ok('and served', wait_for(lambda: hammer.answers > count + 20), (hammer.answers, count, gate.log()))

        # a container's restart: a new namespace each time
        for i in range(3):
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


for part in (one_pod,):
    part()
finish()
