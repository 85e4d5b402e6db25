#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""opinion_test - another model is asked where a rule wants it: its word decides, its failures cost nobody else anything,
and each outcome is on record without a word of the text."""
import struct

from gate import *

isolate(240)
SUSPECT, OTHER = 'lazy dog', 'quick brown weasel'  # of GOOD and LAST


class Endpoint:
    """A model that does what `mode` says; many connections at a time."""

    def __init__(self):
        self.mode, self.asked, self.running, self.bodies = 'safe', 0, 0, []
        self.freed = threading.Event()
        self.lock = threading.Lock()
        self.listener = socket.create_server(('127.0.0.1', 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            s, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        with contextlib.suppress(OSError), s:
            while self.one(s):
                pass

    def one(self, s):
        data = b''
        while b'\r\n\r\n' not in data:
            piece = s.recv(65536)
            if not piece:
                return False
            data += piece
        head, _, body = data.partition(b'\r\n\r\n')
        length = int(re.search(rb'(?i)content-length: (\d+)', head).group(1))
        while len(body) < length:
            body += s.recv(65536)
        with self.lock:
            self.asked += 1
            self.running += 1
            self.bodies.append(json.loads(body))
        try:
            return self.answer(s, self.mode, body)
        finally:
            with self.lock:
                self.running -= 1

    @staticmethod
    def say(s, body, status='200 OK', more=''):
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        s.sendall(('HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n' % (status, len(body), more))
                  .encode() + body)
        return True

    def answer(self, s, mode, body):
        verdict = lambda bad: {'id': 'm', 'model': 'm', 'results': [
            {'flagged': bad, 'categories': {'violence': bad, 'hate': False}, 'category_scores': {'violence': 0.5}}]}
        if mode in ('safe', 'unsafe'):
            return self.say(s, verdict(mode == 'unsafe'))
        if mode == 'hang':
            self.freed.wait(60)
            return False
        if mode == 'drip':  # a byte now and then: alive, and never done
            s.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n')
            while not self.freed.wait(0.05):
                s.sendall(b' ')
            return False
        if mode == 'reset':
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            return False
        if mode == 'garbage':
            return self.say(s, b'\x00\xff{{{{"flagged": true')
        if mode == 'both':  # two words in one answer
            return self.say(s, b'{"results":[{"flagged":false,"flagged":true}]}')
        if mode == 'echo':  # it repeats what it was asked about, where its words should be
            return self.say(s, {'results': [{'flagged': SUSPECT, 'categories': {SUSPECT: True}}], 'model': SUSPECT})
        if mode == 'error':
            return self.say(s, verdict(False), '500 ' + SUSPECT)
        if mode == 'elsewhere':
            return self.say(s, b'', '302 Found', 'Location: http://127.0.0.1:%d/unsafe\r\n' % self.port)
        if mode == 'gigabytes':
            s.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 9000000000\r\n\r\n')
        elif mode == 'endless':
            s.sendall(b'HTTP/1.1 200 OK\r\n\r\n')
        elif mode == 'heads':
            while True:
                s.sendall(b'HTTP/1.1 100 Continue\r\nX: ' + b'x' * 5000 + b'\r\n\r\n')
        while True:
            s.sendall(b'{"results":' + b' ' * 65536)


endpoint = Endpoint()
URL = 'http://127.0.0.1:%d/v1/moderations' % endpoint.port
PACK = '''pack: t
version: "1"
rules:
  - {id: t.strict, risk: A.1.d, action: block, keywords: [lazy dog], opinion: strict}
  - {id: t.lax, risk: A.1.d, action: block, keywords: [quick brown weasel], opinion: lax}
  - {id: t.patient, risk: A.1.d, action: block, keywords: [São Paulo], opinion: patient}
  - {id: t.sure, risk: A.1.d, action: block, keywords: [FORBIDDEN-PHRASE-ALPHA]}
'''


def opinion(name, **more):
    return {'name': name, 'url': URL, 'kind': 'moderations', 'model': 'm-1', **more}


def opinions(gate):
    return [e['opinion'] for e in gate.events() if 'opinion' in e]


def metric(gate, name, **labels):
    text = urllib_get(gate)
    want = name + ('{%s}' % ','.join('%s="%s"' % l for l in labels.items()) if labels else '')
    for line in text.splitlines():
        if line.startswith(want + ' '):
            return float(line.split()[-1])
    return None


def urllib_get(gate):
    host, port = gate.config['metrics']['listen'].split(':')
    with socket.create_connection((host, int(port)), 10) as s:
        s.sendall(b'GET /metrics HTTP/1.0\r\n\r\n')
        return receive(s, 10, 'GET').raw.decode()


def passed(answer, text):
    return text in read_answer(answer.body).all_text() and not answer.error


def blocked(answer, text):
    return refused(answer) and not leaks(answer.raw, text)


# what an endpoint may do: name, what the record says, whether that is an opinion
MODES = (('safe', 'SAFE'), ('unsafe', 'UNSAFE'), ('hang', 'TIMED_OUT'), ('drip', 'TIMED_OUT'), ('reset', 'FAILED'),
         ('error', 'FAILED'), ('elsewhere', 'FAILED'), ('garbage', 'UNREADABLE'), ('both', 'UNREADABLE'),
         ('echo', 'UNREADABLE'), ('gigabytes', 'TOO_LARGE'), ('endless', 'TOO_LARGE'), ('heads', 'TOO_LARGE'))

with Ground('chat') as ground:
    policy = os.path.join(ground.dir, 'policy.d')
    os.mkdir(policy)
    with open(os.path.join(policy, 't.yaml'), 'w') as file:
        file.write(PACK)
    many = {'failures': 10000, 'pause': '1s'}
    how = {'policy': policy, 'metrics': {'listen': '127.0.0.1:%d' % free_port('127.0.0.1')},
           'opinions': [opinion('strict', deadline='600ms', on_timeout='block', breaker=many),
                        opinion('lax', deadline='600ms', on_timeout='release', breaker=many),
                        opinion('patient', deadline='60s', concurrency=4, on_timeout='block', breaker=many)]}
    with ground.gate(**how) as gate:
        before = 0
        for mode, outcome in MODES:
            endpoint.mode = mode
            strict, lax = chat(ground, 'say GOOD'), chat(ground, 'say LAST')
            ok(mode + ': on_timeout block', (passed if outcome == 'SAFE' else blocked)(strict, SUSPECT), strict)
            ok(mode + ': on_timeout release', (blocked if outcome == 'UNSAFE' else passed)(lax, OTHER), lax)
            whole = chat(ground, 'say GOOD', stream=False)
            ok(mode + ': a whole body, too', (passed if outcome == 'SAFE' else blocked)(whole, SUSPECT), whole)
            said = wait_for(lambda: len(opinions(gate)) >= before + 3 and opinions(gate)[before:], 10) or []
            before += 3
            ok(mode + ': on record as ' + outcome, [o['outcome'] for o in said] == [outcome] * 3, said)
            ok(mode + ': and whether the hit counted', [o.get('counted', False) for o in said] ==
               [outcome != 'SAFE', outcome == 'UNSAFE', outcome != 'SAFE'], said)
            endpoint.freed.set()
            endpoint.freed = threading.Event()
        first = opinions(gate)[0]
        ok('the record names rule, opinion, model and where it was', first['rule_id'] == 't.strict' and
           first['name'] == 'strict' and first['model'] == 'm-1' and first['length'] == len(SUSPECT) and
           first['latency_us'] > 0, first)
        unsafe = [o for o in opinions(gate) if o['outcome'] == 'UNSAFE']
        ok('and the categories that were named', all(o['categories'] == ['violence'] for o in unsafe), unsafe)
        ok('it was asked about the sentence', SUSPECT in endpoint.bodies[0]['input'] and
           endpoint.bodies[0]['input'].startswith('The quick'), endpoint.bodies[0])
        ok('a redirect was not followed', endpoint.asked == 3 * len(MODES), endpoint.asked)

        # ---- nobody else waits ----
        endpoint.mode = 'hang'
        held = [Answer() for _ in range(8)]

        def hold(i):
            held[i] = chat(ground, 'say EMOJI', timeout=90)
        threads = [threading.Thread(target=hold, args=(i,)) for i in range(len(held))]
        for t in threads:
            t.start()
        ok('as many are asked at a time as may be', wait_for(lambda: endpoint.running == 4 and
           metric(gate, 'sluice_opinion_waiting', opinion='patient') == 4, 20), (endpoint.running, urllib_get(gate)[-900:]))
        others = [chat(ground, 'say RANDOM', size=3000, seed=i) for i in range(10)]
        ok('other streams are whole while eight are held', all(a.complete and not refused(a) for a in others), others[0])
        ok('another is blocked meanwhile', blocked(chat(ground, 'say BAD'), ALPHA))
        ok('and the eight are still held', all(t.is_alive() for t in threads))
        endpoint.mode = 'safe'
        endpoint.freed.set()
        for t in threads:
            t.join(60)
        # four were left without an answer, which is a failure; four were asked when the endpoint was well
        good = sum(passed(a, 'São Paulo') for a in held)
        ok('then four are released and four blocked', good == 4 and
           sum(blocked(a, 'São Paulo') for a in held) == 4, (good, held[0], opinions(gate)[-8:]))

        # ---- a client that leaves ----
        endpoint.freed = threading.Event()
        endpoint.mode = 'hang'
        with dial(ground) as s:
            s.sendall(request_bytes('POST', CHAT, {'stream': True, 'messages': [{'role': 'user', 'content': 'say EMOJI'}]}))
            ok('asked for a client', wait_for(lambda: endpoint.running == 1, 10))
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        ok('that leaves: abandoned, on record', wait_for(lambda: opinions(gate)[-1]['outcome'] == 'ABANDONED', 10),
           opinions(gate)[-1])
        ok('and given up', wait_for(lambda: metric(gate, 'sluice_opinion_running', opinion='patient') == 0, 10))
        endpoint.freed.set()
        ok('the daemon is sound', gate.sound(), gate.log())
        ok('and ends', gate.stop() and 'Sanitizer' not in gate.log(), gate.log())
        kept = b''
        for name in glob.glob(os.path.join(gate.record, '**'), recursive=True):
            if os.path.isfile(name):
                with open(name, 'rb') as file:
                    kept += file.read()
        ok('no text is on the disk', not any(t.encode() in kept + gate.log().encode() for t in (SUSPECT, OTHER, 'Paulo')))

    # ---- the breaker ----
    how['opinions'] = [opinion('strict', deadline='5s', on_timeout='block', breaker={'failures': 3, 'pause': '700ms'}),
                       opinion('lax'), opinion('patient')]
    with ground.gate(**how) as gate:
        endpoint.mode, asked, had = 'reset', endpoint.asked, len(opinions(gate))
        for _ in range(3):
            chat(ground, 'say GOOD')
        ok('three failures open the breaker', wait_for(
            lambda: metric(gate, 'sluice_opinion_breaker_opened_total', opinion='strict') == 1, 10))
        tries = endpoint.asked - asked
        ok('after three tries', tries == 3, tries)

        def open_seen():
            chat(ground, 'say GOOD')
            return any(o['outcome'] == 'BREAKER_OPEN' for o in opinions(gate)[had:])
        ok('then it is not asked', wait_for(open_seen, 20), opinions(gate)[had:])
        endpoint.mode = 'safe'
        ok('and asked again after its pause', wait_for(lambda: passed(chat(ground, 'say GOOD'), SUSPECT), 20))
        ok('the breaker is closed', metric(gate, 'sluice_opinion_breaker_open', opinion='strict') == 0)
        ok('the daemon is sound', gate.sound(), gate.log())
        with open(os.path.join(policy, 't.yaml'), 'a') as file:
            file.write('  - {id: t.unknown, risk: A.1.d, action: flag, keywords: [x], opinion: nobody}\n')
        answer = gate.ctl('policy', 'reload')
        ok('a policy that asks somebody unknown is refused', answer.returncode and b"'nobody'" in answer.stdout + answer.stderr,
           answer)
        check = subprocess.run([binary('sluiced'), '-c', gate.file, '--check'], capture_output=True, timeout=30)
        ok('and named by --check', check.returncode and b"'nobody'" in check.stderr, check)
finish()
