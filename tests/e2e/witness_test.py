#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""witness_test - another host cosigns the record; a log that was rolled back is found out; nobody hostile is in the way."""
import contextlib
import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import CHAT, Ground, alive, ask, binary, finish, isolate, memory_of, ok, run, skip, wait_for

isolate(300)
NAME = 'witness.test/w1'


def ctl(*args, timeout=60):
    answer = subprocess.run([binary('sluicectl'), *args], capture_output=True, timeout=timeout)
    return answer.returncode, answer.stdout.decode(errors='replace'), answer.stderr.decode(errors='replace')


class Witness:
    def __init__(self, place, *logs):
        self.args = ['witness', 'serve', '--name', NAME, '--listen', '127.0.0.1:0', '-D', place]
        for log in logs:
            self.args += ['--log', log]
        self.start()

    def start(self):
        self.process = subprocess.Popen([binary('sluicectl'), *self.args], stdout=subprocess.PIPE)
        self.key = self.process.stdout.readline().decode().strip()
        self.url = self.process.stdout.readline().decode().strip()
        self.port = int(self.url.rsplit(':', 1)[1] or 0)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def post(self, body, **fields):
        """Status, type and body; status 0 where it hung up on a body before all of it was sent."""
        c = http.client.HTTPConnection('127.0.0.1', self.port, timeout=10)
        try:
            c.request('POST', '/add-checkpoint', body, fields)
            answer = c.getresponse()
            return answer.status, answer.getheader('Content-Type'), answer.read()
        except OSError:
            return 0, None, b''


class Hostile:
    """A witness that answers each connection with what behave(socket) does."""

    def __init__(self, behave):
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.url = 'http://127.0.0.1:%d' % self.listener.getsockname()[1]
        self.behave = behave
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            s, _ = self.listener.accept()
            threading.Thread(target=self.one, args=(s,), daemon=True).start()

    def one(self, s):
        with contextlib.suppress(OSError), s:
            s.recv(65536)
            self.behave(s)


def forever(piece, head=b'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n'):
    def behave(s):
        s.sendall(head)
        while True:
            s.sendall(piece)
    return behave


def drip(s):
    s.sendall(b'HTTP/1.1 200 OK\r\n\r\n')
    while True:
        s.sendall(b'x')
        time.sleep(0.2)


with Ground('chat') as ground:
    credentials = os.path.join(ground.dir, 'credentials')
    os.mkdir(credentials)
    run('openssl', 'genpkey', '-algorithm', 'ed25519', '-out', os.path.join(credentials, 'origin.key'),
        stderr=subprocess.DEVNULL)
    os.environ['CREDENTIALS_DIRECTORY'] = credentials
    with ground.gate(metrics={'listen': '127.0.0.1:9497'}) as gate:
        del os.environ['CREDENTIALS_DIRECTORY']
        ledger, control = os.path.join(gate.record, 'ledger'), os.path.join(gate.record, 'control')
        lasting = [open(os.path.join(d, 'vkey')).read().splitlines()[1] for d in (ledger, control)]
        place = os.path.join(ground.dir, 'witness')
        witness = Witness(place, *lasting)
        ok('it prints its key and where it is', witness.key.startswith(NAME + '+') and witness.port, witness.url)
        ok('the same key as `witness key`', ctl('witness', 'key', '--name', NAME, '-D', place + '2')[0] == 0)
        status, out, err = ctl('witness', 'serve', '--name', NAME, '--log', lasting[0], '-D', place)
        ok('not two of them', status == 2 and 'another witness has it' in err, err)

        def ask_once():
            ask(ground, 'POST', CHAT, {'messages': [{'role': 'user', 'content': 'hello'}]})

        def size(log=ledger):
            return int(open(os.path.join(log, 'checkpoint')).read().splitlines()[1])

        ask_once()
        gate.config['record']['witnesses'] = [{'url': witness.url, 'key': '"%s"' % witness.key}]
        gate.write()
        ok('the configuration is good', run(binary('sluiced'), '-c', gate.file, '--check', check=False).returncode == 0)
        status, out, err = ctl('-c', gate.file, 'witness', 'submit')
        ok('both logs are cosigned', status == 0 and out.count('cosigned by ' + NAME) == 2, out + err)
        # the daemon counts how old their signatures are
        ok('it is told of its witness', gate.ctl('reload').returncode == 0, gate.log())

        def signed(log, name='witness'):
            """When the witness, or the host itself, last signed a log, as the metrics say."""
            try:
                text = urllib.request.urlopen('http://127.0.0.1:9497/metrics', timeout=10).read().decode()
            except OSError:
                return -1
            found = re.search(r'^sluice_audit_%s_timestamp_seconds{log="%s"%s} (\d+)$' %
                              (name, log, ',witness="%s"' % NAME if name == 'witness' else ''), text, re.M)
            return int(found.group(1)) if found else -1

        ok('the metrics say when each log was cosigned', wait_for(lambda: signed('ledger') > time.time() - 300 and
           signed('control') > time.time() - 300, 40), (signed('ledger'), signed('control'), gate.log()))
        ok('and when it was signed', signed('ledger', 'checkpoint') > time.time() - 120, signed('ledger', 'checkpoint'))
        first = signed('ledger')
        old = size()
        for _ in range(40):
            ask_once()
        wait_for(lambda: size() > old + 30)
        witness.kill()
        status, out, err = ctl('-c', gate.file, 'witness', 'submit')
        ok('a witness that is away is an error', status == 2, out + err)
        witness.args[witness.args.index('127.0.0.1:0')] = '127.0.0.1:%d' % witness.port
        witness.start()
        shutil.copytree(gate.record, gate.record + '.old')
        before = size(), size(control)
        ask_once()
        gate.ctl('hold', 'add', 'case-1', '--authority', 'a', '--all')
        wait_for(lambda: size() > before[0] and size(control) > before[1])
        status, out, err = ctl('-c', gate.file, 'witness', 'submit')
        ok('and goes on from where it was', status == 0 and out.count('cosigned by') == 2, out + err)
        ok('and so do the metrics', wait_for(lambda: signed('ledger') > first, 40), (first, signed('ledger')))
        kept = os.path.join(gate.record + '.cosigned', 'control')
        before_it = signed('control')
        forged = re.sub('(— %s [^ ]{8}).*' % re.escape(NAME), lambda m: m.group(1) + 'B' * 90, open(kept).read())
        shutil.copy(kept, kept + '.kept')
        with open(kept, 'w') as file:
            file.write(forged)
        ok('what nobody signed does not count', wait_for(lambda: signed('control') == 0, 40), (before_it, signed('control')))
        shutil.move(kept + '.kept', kept)
        ok('(what was signed does)', wait_for(lambda: signed('control') == before_it, 40), signed('control'))
        status, out, err = ctl('-c', gate.file, 'witness', 'list')
        ok('list shows both', status == 0 and out.count(NAME) == 2, out + err)
        status, out, err = ctl('verify', '-D', gate.record, '--witness', witness.key)
        ok('verify finds the cosignatures', status == 0 and out.count('witnessed=') == 2, out + err)
        stranger = Witness(os.path.join(ground.dir, 'other'), *lasting)
        status, out, err = ctl('verify', '-D', gate.record, '--witness', stranger.key)
        ok('and misses those of another', status == 1 and out.count('no checkpoint of this history that') == 2, out)
        if os.path.exists(os.path.join(os.path.dirname(binary('sluicectl')), 'verifier')):
            answer = run(os.path.join(os.path.dirname(binary('sluicectl')), 'verifier'), '-witness', witness.key, ledger,
                         lasting[0], check=False, capture_output=True)
            ok('so does a verifier that is not ours', answer.returncode == 0, answer.stdout.decode()[-2000:])
        else:
            skip('so does a verifier that is not ours', 'it is not built')
        stranger.kill()

        # what was cosigned says more than every file of the log
        gate_old = gate.record + '.old'
        status, out, err = ctl('verify', '-D', gate_old, '-q')
        ok('an older state is sound by itself', status == 0, out + err)
        status, out, err = ctl('witness', 'submit', '--to', witness.url, '--key', witness.key, '-D', gate_old)
        ok('the witness knows better', status == 1 and err.count('ROLLED BACK') == 2, out + err)
        shutil.copytree(gate.record + '.cosigned', gate_old + '.cosigned')
        status, out, err = ctl('verify', '-D', gate_old, '--witness', witness.key)
        ok('and verify, with its cosignatures', status == 1 and 'rolled back: cosigned' in out, out + err)

        # hostile witnesses: an end within the time given, bounded memory, nothing kept
        kept = open(os.path.join(gate.record + '.cosigned', 'ledger'), 'rb').read()
        gigabytes = b'\xe2\x80\x94 ' + NAME.encode() + b' ' + b'A' * 65536 + b'\n'
        for what, behave in (('garbage', lambda s: s.sendall(os.urandom(100000))),
                             ('a wrong signature', lambda s: s.sendall(
                                 b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nnonsense\n')),
                             ('gigabytes', forever(gigabytes)),
                             ('gigabytes of head', forever(b'X-A: ' + b'a' * 8000 + b'\r\n', b'HTTP/1.1 200 OK\r\n')),
                             ('a redirect', lambda s: s.sendall(
                                 b'HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n')),
                             ('a conflict without end', lambda s: s.sendall(
                                 b'HTTP/1.1 409 Conflict\r\nContent-Type: text/x.tlog.size\r\nContent-Length: 2\r\n\r\n1\n')),
                             ('a drip', drip),
                             ('silence', lambda s: time.sleep(60))):
            hostile = Hostile(behave)
            begin = time.monotonic()
            process = subprocess.Popen([binary('sluicectl'), 'witness', 'submit', '--timeout', '1', '--to', hostile.url, '--key',
                                        witness.key, '-D', ledger], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            most = 0
            while process.poll() is None and time.monotonic() - begin < 60:
                with contextlib.suppress(OSError):
                    most = max(most, memory_of(process.pid))
                time.sleep(0.02)
            ok('a witness that sends %s' % what, process.returncode in (1, 2) and most < 200 << 20,
               'status %s, %d MiB: %s' % (process.returncode, most >> 20, process.stderr.read().decode()))
        ok('nothing of it was kept', open(os.path.join(gate.record + '.cosigned', 'ledger'), 'rb').read() == kept)

        # hostile logs
        for what, raw in (('nothing', b''), ('noise', os.urandom(70000)), ('a head without end', b'POST / HTTP/1.1\r\nA: ' + b'a' * 300000),
                          ('two lengths', b'POST /add-checkpoint HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc')):
            with socket.create_connection(('127.0.0.1', witness.port), 10) as s, contextlib.suppress(OSError):
                s.sendall(raw)
                s.shutdown(socket.SHUT_WR)
                answer = s.recv(65536)
                ok('a log that sends %s' % what, not answer.startswith(b'HTTP/1.1 2'), answer)
        ok('a body without bounds', witness.post(b'old 0\n' + b'A' * 200000)[0] in (0, 400, 413))
        ok('in chunks', witness.post(iter([b'old 0\n'] + [b'A' * 5000] * 20))[0] in (0, 400, 413))
        ok('not a request', witness.post(b'hello')[0] == 400)
        crowd = [socket.create_connection(('127.0.0.1', witness.port), 10) for _ in range(400)]
        for s in crowd:
            with contextlib.suppress(OSError):
                s.sendall(b'POST /add-checkpoint HTTP/1.1\r\nHost: a\r\nContent-Le')
        ask_once()
        status, out, err = ctl('-c', gate.file, 'witness', 'submit')
        ok('a crowd that never ends its requests is not in the way', status == 0, out + err)
        for s in crowd:
            s.close()
        body = b'old 0\n\n' + open(os.path.join(ledger, 'checkpoint'), 'rb').read()
        status, kind, text = witness.post(body)
        ok('who begins anew is told the size', status == 409 and kind == 'text/x.tlog.size' and text.endswith(b'\n') and
           int(text) > old, (status, kind, text))
        c = http.client.HTTPConnection('127.0.0.1', witness.port, timeout=10)
        answers = []
        for _ in range(3):
            c.request('POST', '/add-checkpoint', body)
            answer = c.getresponse()
            answers.append((answer.status, answer.read()))
        ok('a connection is kept', [a for a, _ in answers] == [409] * 3, answers)
        c.request('GET', '/add-checkpoint')
        ok('only POST', c.getresponse().status == 405)
        ok('the witness runs', witness.process.poll() is None and alive(witness.process.pid))
        witness.kill()
        ok('the daemon is sound', gate.sound(), gate.log())
        status, out, err = ctl('verify', '-D', gate.record, '--witness', witness.key)
        ok('the record, too', status == 0, out + err)
finish()
