# SPDX-License-Identifier: Apache-2.0
"""gate.py - what the end-to-end tests stand on: own namespaces, servers in their own cgroup, the daemon, a raw client.

A test is an executable that begins with isolate() and prints TAP lines:

    from gate import *
    isolate()                            # again inside unshare: own network, mounts, processes
    with Ground('fake') as ground:       # a server in a cgroup of its own, at ground.host:ground.port
        with ground.gate() as gate:      # sluiced in front of it, ready
            ok('name', ask(ground, ...).body == b'...')
    finish()

Everything started dies with the test: it is the first process of its own process namespace.
"""
import atexit
import contextlib
import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GROUND = os.path.join(TOP, 'tests', 'ground')
FIXTURES = os.path.join(TOP, 'tests', 'fixtures')
POLICY = os.path.join(FIXTURES, 'policy.d')
PYTHON = '/usr/bin/python3'
HOST, HOST6 = '10.77.0.1', 'fd77::1'
CLIENT, CLIENT6 = '10.77.0.9', 'fd77::9'
ALPHA, ZH, WEASEL = 'FORBIDDEN-PHRASE-ALPHA', '毒气测试短语', 'quick brown weasel'
CHAT = '/v1/chat/completions'

# ---- TAP ----

failures = 0


def ok(name, good, detail=''):
    """One TAP line; the detail is printed when it is not good."""
    global failures
    print('%s - %s' % ('ok' if good else 'not ok', name), flush=True)
    if not good:
        failures += 1
        if detail != '':
            print('\n'.join('# ' + line for line in str(detail).splitlines()[:40]), flush=True)
    return good


def skip(name, why):
    print('ok - %s # skip %s' % (name, why), flush=True)


def finish():
    sys.exit(1 if failures else 0)


# ---- isolation ----

def run(*args, check=True, timeout=60, **how):
    return subprocess.run([str(a) for a in args], check=check, timeout=timeout, **how)


def binary(name):
    """The daemon or CLI under test: the ASan build where there is one. SLUICE_BUILD=release picks the other."""
    asan = os.path.join(TOP, 'build', 'asan', name)
    if os.environ.get('SLUICE_BUILD') != 'release' and os.path.exists(asan):
        return asan
    return os.path.join(TOP, 'build', name)


def need(*paths):
    """Ends the test as skipped where something is not built."""
    for path in paths:
        if not os.path.exists(path):
            skip(os.path.basename(sys.argv[0]), os.path.relpath(path, TOP) + ' is not there')
            sys.exit(0)


def isolate(seconds=600, programs=True):
    """Runs the calling script again in namespaces of its own; returns there. A watchdog ends it after `seconds`."""
    if os.environ.get('SLUICE_GROUND') != 'inside':
        if os.geteuid() != 0:
            skip(os.path.basename(sys.argv[0]), 'needs root')
            sys.exit(0)
        if programs:
            need(binary('sluiced'), binary('sluicectl'))
        os.environ['SLUICE_GROUND'] = 'inside'
        os.execvp('unshare', ['unshare', '--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', PYTHON,
                              os.path.abspath(sys.argv[0])] + sys.argv[1:])
    signal.signal(signal.SIGALRM, lambda *_: (print('not ok - ended within %d seconds' % seconds, flush=True),
                                              os._exit(1)))
    signal.alarm(seconds)
    raise_descriptors()
    run('ip', 'link', 'set', 'lo', 'up')
    for address in (HOST, CLIENT, '10.77.0.2', '10.77.0.3'):
        run('ip', 'addr', 'add', address + '/24', 'dev', 'lo')
    for address in (HOST6, CLIENT6):
        run('ip', '-6', 'addr', 'add', address + '/128', 'dev', 'lo', check=False)
    run('mount', '-t', 'tmpfs', 'none', '/run')
    os.makedirs('/run/sluice', exist_ok=True)
    # many connections from one client address must not meet the port range
    for name, value in (('ip_local_port_range', '15000 60999'), ('tcp_tw_reuse', '1')):
        with contextlib.suppress(OSError), open('/proc/sys/net/ipv4/' + name, 'w') as file:
            file.write(value)


def raise_descriptors():
    import resource
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(hard, 65536), max(hard, 65536)))
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def cgroup_mount():
    """Where cgroup v2 is; mounted by us, in our mount namespace, where it is nowhere."""
    with open('/proc/self/mountinfo') as file:
        for line in file:
            fields, _, rest = line.partition(' - ')
            if rest.split(' ')[0] == 'cgroup2':
                return fields.split(' ')[4]
    place = tempfile.mkdtemp(prefix='cgroup2-', dir='/run')
    run('mount', '-t', 'cgroup2', 'none', place)
    return place


def free_port(host=HOST):
    with socket.socket() as s:
        s.bind((host, 0))
        return s.getsockname()[1]


def wait_for(what, seconds=10.0, pause=0.05):
    """The first true value of what(), or the last one when time is up."""
    end = time.monotonic() + seconds
    while True:
        value = what()
        if value or time.monotonic() > end:
            return value
        time.sleep(pause)


# ---- servers and the daemon ----

def node_modules(name):
    """A folder with tests/ground/npm/NAME installed; None where npm cannot. Call before isolate(): needs the network."""
    place = os.path.join(TOP, 'build', 'node', name)
    source = os.path.join(GROUND, 'npm', name)
    os.makedirs(place, exist_ok=True)
    done = os.path.join(place, 'installed')
    wanted = open(os.path.join(source, 'package.json')).read()
    if not (os.path.exists(done) and open(done).read() == wanted):
        if os.environ.get('SLUICE_GROUND') == 'inside' or not shutil.which('npm'):
            return None
        for file in glob.glob(os.path.join(source, 'package*.json')):
            shutil.copy(file, place)
        how = ['ci'] if os.path.exists(os.path.join(source, 'package-lock.json')) else ['install', '--no-package-lock']
        with open(os.path.join(place, 'npm.log'), 'w') as log:
            if subprocess.run(['npm', *how, '--omit=optional', '--ignore-scripts', '--no-audit', '--no-fund'],
                              cwd=place, stdout=log, stderr=log, timeout=300).returncode:
                return None
        with open(done, 'w') as file:
            file.write(wanted)
    return place


class Ground:
    """A server in a cgroup of its own, in the current network namespace. kind: fake, chat, llama, none."""

    def __init__(self, kind, *args, host=HOST, port=None, pre=()):
        self.kind, self.host, self.args, self.pre = kind, host, args, list(pre)
        self.port = port or free_port(host if ':' not in host else HOST)
        self.name = 'sluice-e2e-' + os.urandom(4).hex()
        self.dir = tempfile.mkdtemp(prefix='sluice-e2e-')
        self.mount = cgroup_mount()
        self.cgroup = os.path.join(self.mount, self.name)
        self.process = None
        self.pins = os.path.join(self.dir, 'bpf')

    def __enter__(self):
        atexit.register(self.clean)
        os.mkdir(self.cgroup)
        os.mkdir(self.pins)
        run('mount', '-t', 'bpf', 'bpf', self.pins)
        if self.kind != 'none':
            self.start()
        return self

    def __exit__(self, *_):
        self.clean()

    def command(self):
        if self.kind == 'llama':
            folder = os.path.join(TOP, 'build', 'node', 'llama')
            shutil.copy(os.path.join(GROUND, 'llama_server.mjs'), folder)
            model = os.path.join(self.dir, 'script.gguf')
            run(PYTHON, os.path.join(GROUND, 'mkscript_gguf.py'), os.path.join(GROUND, 'script.txt'), model,
                stdout=subprocess.DEVNULL)
            return ['node', os.path.join(folder, 'llama_server.mjs'), model, str(self.port), self.host]
        return [PYTHON, os.path.join(GROUND, self.kind + '_server.py'), '--host', self.host, '--port', str(self.port),
                *self.args]

    def start(self, command=None):
        """Starts the server inside the cgroup and waits until it listens."""
        log = open(os.path.join(self.dir, 'server.log'), 'ab')
        self.process = subprocess.Popen(command or self.command(), stdout=log, stderr=log, preexec_fn=self.join)
        if not wait_for(lambda: self.listening() or self.process.poll() is not None, 30) or self.process.poll() is not None:
            raise RuntimeError('the server did not start: ' + self.log())

    def join(self):
        with open(os.path.join(self.cgroup, 'cgroup.procs'), 'w') as file:
            file.write('0')

    def listening(self):
        """Asks the kernel, not the server: a connection would be one more to count."""
        wanted = ':%04X' % self.port
        for name in ('tcp', 'tcp6'):
            with contextlib.suppress(OSError), open('/proc/net/' + name) as file:
                if any(line.split()[1].endswith(wanted) and line.split()[3] == '0A' for line in list(file)[1:]):
                    return True
        return False

    def log(self):
        with contextlib.suppress(OSError), open(os.path.join(self.dir, 'server.log'), errors='replace') as file:
            return file.read()[-4000:]
        return ''

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
        self.process = None

    def gate(self, **how):
        return Gate(self, **how)

    def clean(self):
        atexit.unregister(self.clean)
        self.stop()
        # links pinned here die with the mount
        subprocess.run(['umount', '-l', self.pins], stderr=subprocess.DEVNULL)
        for name in (self.name, self.name + '-gate'):
            wait_for(lambda: remove_cgroup(os.path.join(self.mount, name)), 5)
        shutil.rmtree(self.dir, ignore_errors=True)


def remove_cgroup(path):
    """True when it is gone."""
    for folder, _, _ in sorted(os.walk(path), reverse=True):
        with contextlib.suppress(OSError):
            os.rmdir(folder)
    return not os.path.exists(path)


def yaml_of(value, depth=0):
    """Enough YAML for our configuration: mappings, lists and scalars."""
    pad = '  ' * depth
    if isinstance(value, dict):
        lines = []
        for key, item in value.items():
            if isinstance(item, (dict, list)) and item and not all(isinstance(i, (int, str)) for i in item):
                lines.append('%s%s:\n%s' % (pad, key, yaml_of(item, depth + 1)))
            elif isinstance(item, dict):
                lines.append('%s%s:\n%s' % (pad, key, yaml_of(item, depth + 1)))
            elif isinstance(item, list):
                lines.append('%s%s: [%s]' % (pad, key, ', '.join(str(i) for i in item)))
            else:
                lines.append('%s%s: %s' % (pad, key, item))
        return '\n'.join(lines)
    return '\n'.join('%s- %s' % (pad, yaml_of(item, depth + 1).lstrip()) for item in value)


class Gate:
    """sluiced in front of a Ground. Fields of the configuration can be given by name."""

    def __init__(self, ground, fail='closed', policy=POLICY, wait=True, program=None, services=None, asan='', record=None, **more):
        self.asan = asan
        self.ground, self.wait, self.process = ground, wait, None
        self.program = program or binary('sluiced')
        self.record = os.path.join(ground.dir, 'record')
        self.file = os.path.join(ground.dir, 'sluice.yaml')
        self.config = {
            'services': services or [{'name': 'ground', 'cgroup': '/' + ground.name, 'ports': [ground.port], 'fail': fail}],
            'policy': policy,
            'record': {'dir': self.record, 'exchanges': 'all', **(record or {})},
            'log': {'level': 'info'},
            'control': os.path.join(ground.dir, 'control.sock'),
            'capture': {'pins': os.path.join(ground.pins, 'sluice'), 'cgroup': ground.name + '-gate'},
            **more,
        }

    def write(self):
        with open(self.file, 'w') as file:
            file.write('# SPDX-License-Identifier: Apache-2.0\n' + yaml_of(self.config) + '\n')

    def __enter__(self):
        self.write()
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        log = open(os.path.join(self.ground.dir, 'sluiced.log'), 'ab')
        environment = {**os.environ, 'ASAN_OPTIONS': 'abort_on_error=0:exitcode=99:detect_leaks=1:' + self.asan,
                       'UBSAN_OPTIONS': 'print_stacktrace=1'}
        environment.pop('NOTIFY_SOCKET', None)
        self.process = subprocess.Popen([self.program, '-c', self.file], stdout=log, stderr=log, env=environment)
        if self.wait and not wait_for(lambda: self.process.poll() is not None or self.ready(), 30, 0.1):
            raise RuntimeError('sluiced is not ready:\n' + self.log())
        if self.wait and self.process.poll() is not None:
            raise RuntimeError('sluiced ended with %d:\n%s' % (self.process.returncode, self.log()))

    def ready(self):
        status = self.status()
        return bool(status and status.get('ready'))

    def status(self):
        answer = self.ctl('status', '--json')
        with contextlib.suppress(ValueError):
            return json.loads(answer.stdout)
        return None

    def ctl(self, *args, timeout=20):
        return subprocess.run([binary('sluicectl'), '-c', self.file, *args], capture_output=True, timeout=timeout)

    def events(self, *match):
        """The records, oldest first, as `sluicectl events -o json` prints them."""
        answer = subprocess.run([binary('sluicectl'), 'events', '-D', self.record, '-o', 'json', *match],
                                capture_output=True, timeout=60)
        return [json.loads(line) for line in answer.stdout.decode().splitlines() if line.strip()]

    def findings(self):
        return [e['finding'] for e in self.events() if 'finding' in e]

    def exchanges(self):
        return [e['exchange'] for e in self.events() if 'exchange' in e]

    def log(self):
        with contextlib.suppress(OSError), open(os.path.join(self.ground.dir, 'sluiced.log'), errors='replace') as file:
            return file.read()[-6000:]
        return ''

    def kill(self):
        """kill -9: what a crash looks like."""
        workers = self.children()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        wait_for(lambda: not any(alive(pid) for pid in workers), 10)

    def stop(self):
        """Asks it to end; True when it ended by itself with status 0."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.returncode == 0

    def sound(self):
        """Whether it runs and no sanitizer spoke."""
        log = self.log()
        return self.process.poll() is None and not any(
            word in log for word in ('AddressSanitizer', 'runtime error:', 'LeakSanitizer'))

    def resident(self):
        """RSS of the worker in bytes."""
        return memory_of(self.worker())

    def descriptors(self):
        return len(os.listdir('/proc/%d/fd' % self.worker()))

    def worker(self):
        """The pid of the process that reads the traffic."""
        return self.children()[0]

    def children(self):
        with contextlib.suppress(OSError), open('/proc/%d/task/%d/children' % (self.process.pid, self.process.pid)) as file:
            return [int(pid) for pid in file.read().split()]
        return []


def alive(pid):
    """Whether any of its threads is left; the first may be a zombie while others still hold the sockets."""
    with contextlib.suppress(OSError), open('/proc/%d/stat' % pid) as file:
        return file.read().rsplit(')', 1)[1].split()[0] != 'Z' or len(os.listdir('/proc/%d/task' % pid)) > 1
    return False


def memory_of(pid):
    with open('/proc/%d/status' % pid) as file:
        for line in file:
            if line.startswith('VmRSS:'):
                return int(line.split()[1]) * 1024
    return 0


# ---- a raw client ----

class Answer:
    """What came back: raw bytes as received, and what they mean. error: None, or what went wrong."""

    def __init__(self, raw=b''):
        self.raw, self.head, self.body, self.fields = bytearray(raw), b'', bytearray(), {}
        self.status, self.error, self.complete, self.closed = 0, None, False, False
        self.first = self.seconds = None
        self.at = 0  # raw is understood up to here

    def __repr__(self):
        return 'status=%s error=%s complete=%s raw=%r' % (self.status, self.error, self.complete, bytes(self.raw[-600:]))


def parse_head(answer):
    """True when the head of the answer, after any 1xx, is there."""
    while not answer.head:
        cut = answer.raw.find(b'\r\n\r\n', answer.at)
        if cut < 0:
            return False
        head = bytes(answer.raw[answer.at:cut + 4])
        lines = head.decode('latin-1').split('\r\n')
        parts = lines[0].split(' ')
        answer.status = int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else 0
        answer.at = cut + 4
        if 100 <= answer.status < 200 and answer.status != 101:
            continue
        answer.head = head
        answer.fields = {n.strip().lower(): v.strip() for n, c, v in (line.partition(':') for line in lines[1:]) if c}
    return True


def parse_answer(answer, ended, method='POST'):
    """Follows the framing as far as answer.raw goes; True when the answer is complete. Call again for more."""
    if not parse_head(answer):
        return False
    raw = answer.raw
    if method == 'HEAD' or answer.status in (204, 304):
        return True
    if 'chunked' in answer.fields.get('transfer-encoding', '').lower():
        while True:
            end = raw.find(b'\r\n', answer.at)
            if end < 0:
                return False
            size = int(bytes(raw[answer.at:end]).split(b';')[0], 16)
            if size == 0:
                return raw.find(b'\r\n\r\n', end) >= 0
            if end + 2 + size + 2 > len(raw):
                if ended:
                    answer.body += raw[end + 2:end + 2 + size]
                    answer.at = len(raw)
                return False
            answer.body += raw[end + 2:end + 2 + size]
            answer.at = end + 2 + size + 2
    if 'content-length' in answer.fields:
        length = int(answer.fields['content-length'])
        answer.body = raw[answer.at:answer.at + length]
        return len(raw) - answer.at >= length
    if ended:
        answer.body = raw[answer.at:]
    return ended


def request_bytes(method, path, body=None, fields=(), host=HOST):
    if isinstance(body, (dict, list)):
        body = json.dumps(body).encode()
    lines = ['%s %s HTTP/1.1' % (method, path), 'Host: ' + host, *fields]
    if body is not None:
        lines += ['Content-Type: application/json', 'Content-Length: %d' % len(body)]
    return '\r\n'.join(lines).encode() + b'\r\n\r\n' + (body or b'')


def read_exactly(s, n):
    """n bytes, or what came before the end."""
    data = b''
    while len(data) < n:
        piece = s.recv(n - len(data))
        if not piece:
            break
        data += piece
    return data


def dial(ground, source=None, timeout=10):
    family = socket.AF_INET6 if ':' in ground.host else socket.AF_INET
    s = socket.socket(family, socket.SOCK_STREAM)
    s.settimeout(timeout)
    if source:
        s.bind((source, 0))
    s.connect((ground.host, ground.port))
    return s


def receive(s, timeout=30, method='POST', limit=1 << 30, answer=None):
    """Reads one answer from socket s."""
    answer, begin = answer or Answer(), time.monotonic()
    s.settimeout(timeout)
    try:
        while len(answer.raw) < limit and time.monotonic() - begin < timeout:
            piece = s.recv(1 << 18)
            if answer.first is None:
                answer.first = time.monotonic() - begin
            if not piece:
                answer.closed = True
                answer.complete = parse_answer(answer, True, method)
                break
            answer.raw += piece
            if parse_answer(answer, False, method):
                answer.complete = True
                break
        else:
            answer.error = 'timeout'
    except socket.timeout:
        answer.error = 'timeout'
    except (OSError, ValueError) as problem:
        answer.error = '%s: %s' % (type(problem).__name__, problem)
    if answer.error:
        with contextlib.suppress(ValueError):
            parse_answer(answer, True, method)
    elif not answer.complete:
        answer.error = 'closed before the end'
    answer.raw, answer.body = bytes(answer.raw), bytes(answer.body)
    answer.seconds = time.monotonic() - begin
    return answer


def ask(ground, method='POST', path=CHAT, body=None, fields=('Connection: close',), source=None, timeout=30):
    """One request on a connection of its own."""
    try:
        with dial(ground, source, timeout) as s:
            s.sendall(request_bytes(method, path, body, fields))
            return receive(s, timeout, method)
    except OSError as problem:
        answer = Answer()
        answer.error = '%s: %s' % (type(problem).__name__, problem)
        return answer


def chat(ground, words, stream=True, timeout=30, fields=('Connection: close',), **more):
    body = {'model': 'ground', 'stream': stream, 'messages': [{'role': 'user', 'content': words}], **more}
    return ask(ground, body=body, timeout=timeout, fields=fields)


def get_json(ground, path, source=None):
    answer = ask(ground, 'GET', path, source=source)
    try:
        return json.loads(answer.body)
    except ValueError:
        return {}


def without_date(raw):
    """The same bytes without the Date field, the only thing that may differ between two runs."""
    return re.sub(rb'\r\ndate:[^\r\n]*', b'', raw, flags=re.IGNORECASE)


# ---- reading answers as a client of the API does ----

class Reading:
    """texts: 'CHOICE.FIELD' -> joined text; finish: choice -> reason; done: [DONE] was seen; errors: error objects."""

    def __init__(self):
        self.texts, self.finish, self.done, self.errors, self.events, self.broken = {}, {}, False, [], 0, 0

    def say(self, name, text):
        if isinstance(text, str) and text:
            self.texts[name] = self.texts.get(name, '') + text

    def take(self, value):
        if not isinstance(value, dict):
            return
        if 'error' in value:
            self.errors.append(value['error'])
        for choice in value.get('choices') or []:
            if not isinstance(choice, dict):
                continue
            i = choice.get('index', 0)
            part = choice.get('delta') or choice.get('message') or {}
            for key, text in part.items():
                if key == 'tool_calls':
                    for call in text or []:
                        function = call.get('function') or {}
                        self.say('%s.tool_calls.%s.arguments' % (i, call.get('index', 0)), function.get('arguments'))
                        self.say('%s.tool_calls.%s.name' % (i, call.get('index', 0)), function.get('name'))
                elif key != 'role':
                    self.say('%s.%s' % (i, key), text)
            if choice.get('finish_reason'):
                self.finish[i] = choice['finish_reason']
        message = value.get('message')
        if isinstance(message, dict):
            self.say('0.content', message.get('content'))

    def all_text(self):
        return '\n'.join(self.texts.values())


def sse_data(body):
    """The data of each event of an event stream, the last unfinished one too."""
    text = body.decode('utf-8', 'replace').lstrip('\ufeff').replace('\r\n', '\n').replace('\r', '\n')
    for block in text.split('\n\n'):
        lines = [line[5:].removeprefix(' ') for line in block.split('\n') if line.startswith('data:')]
        if lines:
            yield '\n'.join(lines)


def read_answer(body, kind=''):
    """Reads a body by content: an event stream, or JSON, one value or one a line."""
    reading = Reading()
    if 'event-stream' in kind or b'data:' in body[:4096]:
        pieces = list(sse_data(body))
    else:
        try:
            reading.take(json.loads(body))
            return reading
        except ValueError:
            pieces = body.decode('utf-8', 'replace').splitlines()
    for piece in pieces:
        if piece.strip() == '[DONE]':
            reading.done = True
            continue
        if not piece.strip():
            continue
        try:
            reading.take(json.loads(piece))
            reading.events += 1
        except ValueError:
            reading.broken += 1
    return reading


IGNORED = dict.fromkeys([0xAD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, 0x180E, *range(0xFE00, 0xFE10)])


def folded(text):
    import unicodedata
    return unicodedata.normalize('NFKC', text.translate(IGNORED)).casefold()


def leaves(value):
    """Every string of a JSON value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item)


def leaks(body, phrase):
    """Where `phrase` shows in a body: raw, unescaped, joined over events, folded. Empty: nowhere."""
    import re
    want, found = folded(phrase), []
    text = body.decode('utf-8', 'replace')
    if phrase in text or want in folded(text):
        found.append('raw')
    loose = re.sub(r'\\u([0-9a-fA-F]{4})', lambda m: chr(int(m.group(1), 16)), text)
    if want in folded(loose):
        found.append('unescaped')
    reading = read_answer(body)
    for name, joined in reading.texts.items():
        twice = re.sub(r'\\u([0-9a-fA-F]{4})', lambda m: chr(int(m.group(1), 16)), joined)
        if want in folded(joined) or want in folded(twice):
            found.append('joined ' + name)
    for piece in list(sse_data(body)) or [text]:
        with contextlib.suppress(ValueError):
            if any(want in folded(leaf) for leaf in leaves(json.loads(piece))):
                found.append('string')
    return found


def refused(answer):
    """Whether an answer ends as a refusal that an OpenAI client understands."""
    reading = read_answer(answer.body, answer.fields.get('content-type', ''))
    return 'content_filter' in reading.finish.values()


def in_threads(count, work, timeout=300):
    """Runs work(i) for i below count, all at once; the results in order, exceptions as results."""
    results = [None] * count

    def one(i):
        try:
            results[i] = work(i)
        except Exception as problem:  # the test decides what it means
            results[i] = problem
    threads = [threading.Thread(target=one, args=(i,), daemon=True) for i in range(count)]
    for t in threads:
        t.start()
    end = time.monotonic() + timeout
    for t in threads:
        t.join(max(0.0, end - time.monotonic()))
    return results
