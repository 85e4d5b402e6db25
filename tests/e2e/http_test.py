#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""http_test - what HTTP and TCP promise holds through the gate, as it does without it."""
import base64
import hashlib
import json
import os
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import (ALPHA, CHAT, HOST, Answer, Ground, ask, chat, dial, finish, get_json, in_threads, isolate, leaks, ok,
                  read_exactly, receive, refused, request_bytes, wait_for, without_date)

MEGABYTE = 1 << 20
IN_FIELD, IN_BODY, IN_QUERY = 'field-secret-71aa03', 'body-secret-55c1de', 'query-secret-0b7e42'
SECRET, OTHER = 'sk-secret-4f1b9d77', 'sk-other-90c2e3aa'
RESET = struct.pack('ii', 1, 0)
isolate(400)


class Odd:
    """A scripted peer in the guarded cgroup's place: each connection runs script(socket) in a thread of its own."""

    def __init__(self, script, backlog=2048):
        self.script, self.heard = script, []
        self.listener = socket.create_server((HOST, 0), backlog=backlog)
        self.host, self.port = self.listener.getsockname()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.one, args=(s,), daemon=True).start()

    def one(self, s):
        with s:
            try:
                self.script(self, s)
            except OSError as problem:
                self.heard.append(type(problem).__name__)

    def close(self):
        self.listener.close()


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    s.close()


def read_all(s, timeout=5):
    """Bytes up to the end, and how it ended: 'fin', 'rst' or 'open'."""
    data = b''
    s.settimeout(timeout)
    try:
        while True:
            piece = s.recv(1 << 16)
            if not piece:
                return data, 'fin'
            data += piece
    except ConnectionResetError:
        return data, 'rst'
    except socket.timeout:
        return data, 'open'


def read_head(s):
    head = b''
    while b'\r\n\r\n' not in head:
        piece = s.recv(65536)
        if not piece:
            break
        head += piece
    return head


def several(ground, requests):
    """The answers to requests sent one after another on one connection."""
    answers = []
    with dial(ground) as s:
        for method, request in requests:
            s.sendall(request)
            answers.append(receive(s, 10, method))
    return answers


def get(path, *fields):
    return request_bytes('GET', path, fields=fields)


def post(words, stream=True, fields=(), **more):
    return request_bytes('POST', CHAT, {'model': 'm', 'stream': stream, 'messages': [{'role': 'user', 'content': words}], **more},
                         fields)


def same_as_direct(ground, direct):
    """Answers that must not differ by a byte but for the date."""
    chunked = post('say GOOD').partition(b'\r\n\r\n')
    body = chunked[2]
    pieces = b''.join(b'%x\r\n%s\r\n' % (len(p), p) for p in (body[:5], body[5:40], body[40:])) + b'0\r\n\r\n'
    head = b'\r\n'.join(line for line in chunked[0].split(b'\r\n') if not line.startswith(b'Content-Length'))
    cases = {
        'GET /v1/models': ('GET', get('/v1/models')),
        'HEAD /health': ('HEAD', request_bytes('HEAD', '/health')),
        'OPTIONS': ('OPTIONS', request_bytes('OPTIONS', CHAT)),
        '404': ('GET', get('/nothing/here')),
        '405': ('GET', get(CHAT)),
        '400 for a body that is not JSON': ('POST', request_bytes('POST', CHAT, b'{oops')),
        '422 for a missing body': ('POST', request_bytes('POST', CHAT, b'')),
        'a stream': ('POST', post('say GOOD')),
        'a whole answer': ('POST', post('say GOOD', False)),
        'Connection: close': ('POST', post('say GOOD', fields=('Connection: close',))),
        'HTTP/1.0': ('GET', b'GET /v1/models HTTP/1.0\r\nHost: a\r\n\r\n'),
        'HTTP/1.0 keep-alive': ('GET', b'GET /v1/models HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n'),
        'a chunked request': ('POST', head + b'\r\nTransfer-Encoding: chunked\r\n\r\n' + pieces),
        'Expect: 100-continue': ('POST', post('say GOOD', False, ('Expect: 100-continue',))),
    }
    for name, (method, request) in cases.items():
        wanted = direct[name]
        got = several(ground, [(method, request)])[0]
        ok(name + ': byte for byte as without the gate', got.complete and wanted.complete and
           without_date(got.raw) == without_date(wanted.raw) and got.closed == wanted.closed, '%r\n%r' % (got, wanted))
    return cases


def plain(ground):
    """The same requests without a gate."""
    answers = {}
    names = same_as_direct.__globals__

    class Collect(dict):
        def __missing__(self, name):
            return Answer()
    silent, names['ok'] = names['ok'], lambda *_: True
    cases = same_as_direct(ground, Collect())
    names['ok'] = silent
    for name, (method, request) in cases.items():
        answers[name] = several(ground, [(method, request)])[0]
    return answers


def connections(ground):
    answers = several(ground, [('GET', get('/v1/models')), ('POST', post('say GOOD')), ('POST', post('say GOOD', False)),
                               ('HEAD', request_bytes('HEAD', '/health')), ('GET', get('/health'))])
    ok('keep-alive: five requests on one connection', all(a.complete and not a.closed for a in answers), answers)
    with dial(ground) as s:
        s.sendall(get('/health') * 50 + get('/health', 'Connection: close'))
        data, end = read_all(s)
    ok('pipelined: 51 requests in one segment, 51 answers, then FIN',
       data.count(b'HTTP/1.1 200') == 51 and end == 'fin', (data.count(b'HTTP/1.1 200'), end))
    many = 20000
    with dial(ground, timeout=60) as s:
        s.settimeout(60)
        threading.Thread(target=lambda: s.sendall(get('/health') * many + get('/health', 'Connection: close')),
                         daemon=True).start()
        data, end = read_all(s, 30)
    ok('pipelined: %d requests, more than a lane holds' % many, data.count(b'HTTP/1.1 200') == many + 1 and end == 'fin',
       (data.count(b'HTTP/1.1 200'), end))
    with dial(ground) as s:
        s.sendall(post('say GOOD') + post('say GOOD', False) + get('/v1/models'))
        s.shutdown(socket.SHUT_WR)
        data, end = read_all(s)
    ok('pipelined, then half-closed: three answers', data.count(b'HTTP/1.1 200') == 3 and b'"object":"list"' in data, data)
    with dial(ground) as s:
        s.sendall(post('say GOOD', delay=0.02))
        s.shutdown(socket.SHUT_WR)
        first = receive(s, 10)
    ok('half-closed after the request: as uvicorn answers it', first.complete or first.raw == b'' or first.closed, first)


def uploads(ground):
    with dial(ground) as s:
        for byte in post('say GOOD', False):
            s.sendall(bytes([byte]))
        answer = receive(s, 10)
    ok('a request byte by byte', answer.complete and b'friendly animal' in answer.body, answer)


def blocked(ground):
    with dial(ground) as s:
        s.sendall(post('say BAD', False))
        first = receive(s, 10)
        s.sendall(post('say GOOD', False))
        second = receive(s, 10)
    ok('an unstreamed block keeps the connection alive', refused(first) and not first.closed and second.complete and
       b'friendly animal' in second.body, (first, second))
    with dial(ground) as s:
        s.sendall(post('say BAD', False) + post('say GOOD', False) + post('say BAD', False) + post('say GOOD', False))
        answer, found = Answer(), []
        data, _ = read_all(s, 3)
    ok('pipelined behind blocks: each is answered in its turn',
       data.count(b'HTTP/1.1 200') == 4 and data.count(b'content_filter') == 2 and data.count(b'friendly animal') == 2 and
       not leaks(data, ALPHA), data)
    del answer, found
    lost = 0
    for i in range(40):
        with dial(ground) as s:
            s.sendall(post('say BAD', False))
            time.sleep(0.0005 * i)
            s.sendall(post('say GOOD', False))
            data, _ = read_all(s, 0.5) if i % 8 == 0 else (receive(s, 5).raw + receive(s, 5).raw, '')
        lost += b'content_filter' not in data or b'friendly animal' not in data
    ok('the next request while the refusal is in flight is not lost', not lost, lost)
    first, second = chat(ground, 'say BAD'), chat(ground, 'say GOOD')
    ok('a blocked stream, then a new connection', refused(first) and second.complete and not refused(second), (first, second))
    head, _, body = post('say BAD').partition(b'\r\n\r\n')
    with dial(ground) as s:
        s.sendall(head + b'\r\n\r\n' + body)
        answer = receive(s, 10)
        try:
            for _ in range(50):
                s.sendall(b'x' * 65536)
        except OSError:
            pass
        ok('a client that talks on after a refusal has it whole', refused(answer) and answer.complete, answer)


def aborts(ground, gate):
    for how in ('FIN', 'RST'):
        before = get_json(ground, '/stats').get('cancelled', 0)
        s = dial(ground)
        s.sendall(post('say LONG', delay=0.02))
        s.recv(4096)
        begin = time.monotonic()
        s.close() if how == 'FIN' else reset(s)
        gone = wait_for(lambda: get_json(ground, '/stats').get('cancelled', 0) > before, 3)
        ok('a client that leaves by %s in mid-stream: cancelled after %.2f s' % (how, time.monotonic() - begin), gone,
           get_json(ground, '/stats'))
    s = dial(ground)
    s.sendall(post('say LONG', False, delay=0.02))
    time.sleep(0.2)
    before = get_json(ground, '/stats').get('cancelled', 0)
    s.close()
    gone = wait_for(lambda: get_json(ground, '/stats').get('cancelled', 0) > before, 3)
    ok('a client that leaves before an unstreamed answer: cancelled', gone, get_json(ground, '/stats'))
    left = wait_for(lambda: [x for x in gate.exchanges() if x.get('finish') == 'client_left'], 3)
    ok('and it is on record', left and all(x['action'] == 'ABORT' for x in left), left)


def refusals(ground, gate):
    cases = {
        'request_malformed': b'GET / HTTP/1.1\r\nHost: a\r\nx y: z\r\n\r\n',
        'upgrade': b'GET /v1/models HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
        'connect': b'CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n',
        'http2': b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
        'http_version': b'GET / HTTP/1.7\r\nHost: a\r\n\r\n',
    }
    for name, request in cases.items():
        with dial(ground) as s:
            s.sendall(request)
            data, end = read_all(s)
        found = wait_for(lambda: [x for x in gate.exchanges() if (x.get('exception') or '').replace('-', '_') == name], 3)
        ok('%s: refused in words, then closed, and on record' % name,
           data.startswith(b'HTTP/1.1 ') and data.split(b' ')[1] >= b'400' and end == 'fin' and found,
           '%r %s %s' % (data, end, {x.get('exception') for x in gate.exchanges()}))
    begin = time.monotonic()
    with dial(ground) as s:
        s.sendall(b'GET /v1/models HTTP/1.1\r\nHo')
        data, end = read_all(s, 6)
    took = time.monotonic() - begin
    ok('half a head: refused after the time-out (%.1f s)' % took, 0.8 < took < 4 and end == 'fin' and
       data.startswith(b'HTTP/1.1 408'), (data, end))
    begin = time.monotonic()
    with dial(ground) as s:
        s.sendall(get('/health'))
        receive(s, 5)
        try:
            for byte in b'GET /v1/models HTTP/1.1\r\n' + b'x: y\r\n' * 100:
                s.sendall(bytes([byte]))
                time.sleep(0.05)
        except OSError:
            pass
    ok('a head that trickles is refused, too (%.1f s)' % (time.monotonic() - begin), time.monotonic() - begin < 6)
    with dial(ground) as s:
        time.sleep(1.5)
        s.sendall(get('/health'))
        answer = receive(s, 5)
    ok('a connection that has said nothing may stay', answer.complete, answer)
    with dial(ground) as s:
        head, _, body = post('say GOOD', False).partition(b'\r\n\r\n')
        s.sendall(head + b'\r\n\r\n' + body[:10])
        time.sleep(1.5)
        s.sendall(body[10:])
        answer = receive(s, 5)
    ok('a body may take longer than a head', answer.complete, answer)


def private(ground, gate):
    for who in (SECRET, OTHER, SECRET):
        chat(ground, 'say GOOD', fields=('Connection: close', 'Authorization: Bearer ' + who))
        chat(ground, 'say BAD', False, fields=('Connection: close', 'Authorization: Bearer ' + who))
    for words, stream in (('say GOOD', True), ('say BAD', True), ('say BAD', False)):
        chat(ground, words, stream, fields=('Connection: close', 'X-User-Id: ' + IN_FIELD, 'Cookie: id=' + IN_FIELD),
             user=IN_BODY, metadata={IN_BODY: IN_BODY})
    ask(ground, 'GET', '/v1/models?user=' + IN_QUERY)
    with dial(ground) as s:
        s.sendall(get('/v1/models', 'Authorization: Bearer ' + SECRET, 'Upgrade: x', 'Connection: upgrade'))
        read_all(s, 3)
    gate.process.send_signal(1)
    time.sleep(0.3)
    tags = [x.get('subject_tag') for x in gate.exchanges() if x.get('path') == CHAT and x.get('subject_tag')]
    ok('users get pseudonyms: stable, and different', len(tags) >= 6 and len(set(tags)) == 2 and
       sorted(map(tags[-6:].count, set(tags))) == [2, 4], tags[-6:])
    status = gate.ctl('status', '--json').stdout
    with socket.create_connection(('127.0.0.1', 9499), 5) as s:
        s.sendall(b'GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n')
        metrics, _ = read_all(s)
    ok('metrics are served', metrics.startswith(b'HTTP/1.1 200') and b'sluice_up 1' in metrics, metrics[:200])
    places, kept = {'status': status, 'metrics': metrics}, os.path.join(ground.dir, 'policy.kept')  # a policy names its words
    for folder, _, files in os.walk(ground.dir):
        for file in files:
            path = os.path.join(folder, file)
            if os.path.isfile(path) and not folder.startswith((ground.pins, kept)) and file != 'server.log':
                with open(path, 'rb') as f:
                    places[path] = f.read()
    named = [w.encode() for w in (SECRET, OTHER, IN_FIELD, IN_BODY, IN_QUERY)]
    hidden = [form(w) for w in named for form in (base64.b64encode, lambda w: w.hex().encode(), lambda w: hashlib.sha256(w).digest(),
                                                  lambda w: hashlib.sha256(w).hexdigest().encode())]
    plants = named + hidden + [hashlib.sha256(b'authorization\0Bearer ' + who.encode()).digest()
                                                          for who in (SECRET, OTHER)] + [ALPHA.encode(), b'friendly animal']
    found = [(path, p) for path, data in places.items() for p in plants if p in data]
    ok('P9: no header value, prompt or answer in %d files, metrics, status' % len(places), not found and len(places) > 4, found)


def nobody(ground, gate):
    """The server is gone, the gate is not."""
    wanted = dial_end(ground)
    ok('no server: the client is refused or reset', wanted in ('ConnectionRefusedError', 'ConnectionResetError', 'rst'), wanted)
    ended = [dial_end(ground) for _ in range(50)]
    ok('no server: every time', set(ended) <= {'ConnectionRefusedError', 'ConnectionResetError', 'rst'}, ended)
    ok('no server: counted', (gate.status() or {}).get('counters', {}).get('dial_failed', 0) >= 50, gate.status())


def dial_end(ground):
    try:
        with dial(ground) as s:
            s.sendall(get('/health'))
            return read_all(s, 5)[1]
    except OSError as problem:
        return type(problem).__name__


def real():
    with Ground('chat') as ground:
        direct = plain(ground)
        with ground.gate(limits={'head_timeout': '1s'}, identity={'headers': ['authorization', 'x-api-key']},
                         metrics={'listen': '127.0.0.1:9499'}) as gate:
            same_as_direct(ground, direct)
            connections(ground)
            uploads(ground)
            blocked(ground)
            aborts(ground, gate)
            refusals(ground, gate)
            private(ground, gate)
            ok('the daemon is sound', gate.sound(), gate.log())
            ground.stop()
            nobody(ground, gate)
            ground.start()
            ok('the server is back: served again', wait_for(lambda: chat(ground, 'say GOOD').complete, 5), gate.log())
            s = dial(ground)
            s.sendall(post('say LONG', delay=0.02))
            s.recv(4096)
            open_before = len(gate.exchanges())
            ok('it stops by itself, without a leak', gate.stop(), gate.log())
            s.close()
            under_way = gate.exchanges()[open_before:]
            ok('what was under way when it stopped is on record', [x for x in under_way if x.get('path') == CHAT and
                                                                   x['coverage']['released'] > 0], under_way)


# ---- servers that do what they like ----

SSE = b'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n'
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"water stone"}}]}\n\n'
CHUNK = b'%x\r\n%s\r\n' % (len(EVENT), EVENT)


def whole(body, status=b'200 OK', fields=b''):
    return b'HTTP/1.1 %s\r\ncontent-type: application/json\r\n%scontent-length: %d\r\n\r\n%s' % (status, fields, len(body), body)


def script(odd, s):
    """By the path of the request."""
    head = read_head(s)
    path = head.split(b' ')[1].decode() if head.count(b' ') > 1 else ''
    odd.last = head
    if path == '/digest':
        length, body = int(head.lower().split(b'content-length: ')[1].split(b'\r\n')[0]), head.partition(b'\r\n\r\n')[2]
        digest, count = hashlib.sha256(body), len(body)
        while count < length:
            piece = s.recv(1 << 18)
            if not piece:
                break
            digest.update(piece)
            count += len(piece)
        s.sendall(whole(json.dumps({'n': count, 'sha': digest.hexdigest()}).encode()))
    elif path == '/head':
        s.sendall(whole(json.dumps({'head': head.decode('latin-1')}).encode()))
    elif path == '/half':
        data, end = read_all(s)
        s.sendall(whole(json.dumps({'end': end, 'more': data.decode('latin-1')}).encode()))
    elif path == '/early':
        s.sendall(whole(b'{"error":"too large"}', b'413 Content Too Large', b'connection: close\r\n'))
        s.shutdown(socket.SHUT_WR)
        time.sleep(2)
    elif path == '/early-rst':
        s.sendall(whole(b'{"error":"too large"}', b'413 Content Too Large', b'connection: close\r\n'))
    elif path in ('/mid-fin', '/mid-rst', '/between-fin', '/between-rst'):
        s.sendall(SSE + CHUNK + (CHUNK[:30] if 'mid' in path else b''))
        time.sleep(0.3)
        if 'rst' in path:
            reset(s)
    elif path == '/500':
        s.sendall(whole(b'{"error":{"message":"CUDA error: out of memory"}}', b'500 Internal Server Error'))
    elif path == '/continue':
        s.sendall(b'HTTP/1.1 100 Continue\r\n\r\n')
        body = read_exactly(s, 5)
        s.sendall(whole(json.dumps({'body': body.decode()}).encode()))
    elif path == '/unasked':
        s.sendall(whole(b'{"a":1}') + whole(b'{"b":2}'))
        time.sleep(1)
    elif path == '/flood-unasked':
        s.sendall(whole(b'{"a":"%s"}' % (b'x' * 60000)) * 200)
    elif path == '/end':
        s.sendall(SSE + CHUNK)
        s.settimeout(10)
        odd.heard.append(read_all(s, 10)[1])
        return
    elif path == '/fast':
        s.sendall(SSE + CHUNK * 40000 + b'0\r\n\r\n')
    else:
        s.sendall(whole(b'{}'))
    if path in ('/head', '/500', '/ok'):
        script(odd, s)


def talk(to, request, timeout=5):
    with dial(to) as s:
        try:
            s.sendall(request)
        except OSError:
            pass
        return read_all(s, timeout)


def odd_servers():
    odd = Odd(script)
    with Ground('none') as ground:
        services = [{'name': 'odd', 'ports': [odd.port]}]
        direct = {path: talk(odd, get(path)) for path in ('/500', '/between-fin', '/between-rst')}
        with ground.gate(services=services, limits={'body': '64K', 'event': '128K'}) as gate:
            answer = several(odd, [('GET', get('/head', 'Accept-Encoding: gzip, br, zstd', 'X-Keep: me'))])[0]
            head = json.loads(answer.body)['head']
            ok('accept-encoding is narrowed to what can be read, the rest stays',
               head == 'GET /head HTTP/1.1\r\nHost: 10.77.0.1\r\nAccept-Encoding: identity\r\nX-Keep: me\r\n\r\n', head)
            ok('a 500 passes byte for byte', talk(odd, get('/500', ), 1)[0] == direct['/500'][0], direct['/500'])
            blob = os.urandom(MEGABYTE) * 16
            with dial(odd, timeout=60) as s:
                s.sendall(request_bytes('POST', '/digest', blob))
                said = json.loads(receive(s, 60).body or b'{}')
            ok('16 MB of request arrive byte for byte', said == {'n': len(blob), 'sha': hashlib.sha256(blob).hexdigest()}, said)
            with dial(odd) as s:
                s.sendall(get('/half'))
                s.shutdown(socket.SHUT_WR)
                answer = receive(s, 10)
            ok('half-close: the server sees the end, the client the whole answer',
               answer.complete and json.loads(answer.body) == {'end': 'fin', 'more': ''}, answer)
            with dial(odd) as s:
                s.sendall(b'POST /continue HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n')
                first = s.recv(100)
                s.sendall(b'hello')
                answer = receive(s, 5)
            ok('100 Continue comes before the body is asked for', first == b'HTTP/1.1 100 Continue\r\n\r\n' and
               b'hello' in answer.body, (first, answer))
            for path in ('/early', '/early-rst'):
                data, end = b'', ''
                with dial(odd, timeout=20) as s:
                    s.settimeout(20)
                    upload = threading.Thread(target=send_quietly, args=(s, request_bytes('POST', path, blob)), daemon=True)
                    upload.start()
                    data, end = read_all(s, 10)
                # as without the gate, what is in flight may be lost to a reset
                ok('%s: an answer before the request is read ends both' % path, end in ('fin', 'rst') and
                   (b'too large' in data or (path == '/early-rst' and end == 'rst')), (data, end))
            for path in ('/between-fin', '/between-rst'):
                data, end = talk(odd, get(path))
                ok('%s: the client sees the same end as without the gate' % path, (data, end) == direct[path],
                   '%r\n%r' % ((data, end), direct[path]))
            for path in ('/mid-fin', '/mid-rst'):
                data, end = talk(odd, get(path))
                ok('%s: half an event is not passed, and no client takes it for a whole answer' % path, CHUNK[:30] not in
                   data[len(SSE) + len(CHUNK):] and end != 'open' and b'[DONE]' not in data, (data, end))
            with dial(odd) as s:
                s.sendall(get('/unasked') + get('/ok'))
                data, end = read_all(s, 5)
            ok('an answer nobody asked for does not answer the next request', b'{"b":2}' not in data and end != 'open', (data, end))
            with dial(odd) as s:
                s.sendall(get('/flood-unasked'))
                time.sleep(0.5)
                data, end = read_all(s, 10)
            ok('a flood of answers to one request: one passes', data.count(b'HTTP/1.1 200') == 1 and end != 'open', (len(data), end))
            with dial(odd) as s:
                s.sendall(get('/fast'))
                time.sleep(1.5)
                data, end = read_all(s, 20)
            ok('a fast server and a slow client with small limits: all arrives',
               data == SSE + CHUNK * 40000 + b'0\r\n\r\n', (len(data), end, gate.log()))
            for how, wanted in (('FIN', 'fin'), ('RST', 'ConnectionResetError')):
                del odd.heard[:]
                s = dial(odd)
                s.sendall(get('/end'))
                s.recv(4096)
                if how == 'FIN':
                    s.shutdown(socket.SHUT_WR)
                else:
                    reset(s)
                heard = wait_for(lambda: odd.heard, 3)
                ok('a client that ends by %s: the server sees %s' % (how, how), heard == [wanted] or
                   (how == 'RST' and heard == ['rst']), heard)
                s.close()
            del odd.heard[:]
            s = dial(odd)
            s.sendall(get('/end'))
            s.recv(4096)
            s.shutdown(socket.SHUT_WR)
            reset_later = wait_for(lambda: odd.heard == ['fin'], 3)
            ok('half-closed first', reset_later, odd.heard)
            reset(s)
            idle_clients(odd, gate)
            ok('the daemon is sound', gate.sound(), gate.log())
            fds = wait_for(lambda: gate.status()['counters']['open'] == 0, 10)
            ok('no connection is left', fds, gate.status())
            ok('it stops by itself, without a leak', gate.stop(), gate.log())
    odd.close()


def send_quietly(s, data):
    try:
        s.sendall(data)
    except OSError:
        pass


def idle_clients(odd, gate):
    """Clients that connect and say nothing hold nobody up."""
    crowd = []
    for _ in range(1000):
        crowd.append(dial(odd))
    answer = several(odd, [('GET', get('/ok'))])[0]
    ok('1,000 silent connections: others are served', answer.complete, answer)
    for s in crowd:
        s.close()
    ok('and they are let go', wait_for(lambda: gate.status()['counters']['open'] <= 2, 10), gate.status())


real()
odd_servers()
finish()
