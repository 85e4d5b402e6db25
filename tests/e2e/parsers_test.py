#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""parsers_test - what we let through, other parsers read as we do: http-parser (httptools), llhttp (Node), h11, Go's.

A request that we read as one and a server as two is a smuggled one; an answer that we read as one and a client as two
is a split one. So: messages are made from a grammar of what is known to divide parsers, seeded; each parser says what
messages it sees in the bytes that we would pass on. Whatever we see as a message, another parser sees as the same
message, with the same fields and body, ending at the same byte, or refuses.

    parsers_test.py [SEED]
"""
import json
import os
import random
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import TOP, finish, ok

import h11
import httptools

PARSERS = os.path.join(TOP, 'tests', 'parsers')
OURS = os.path.join(TOP, 'build', 'release', 'parsers', 'http1_parse')
SEED = int(sys.argv[1]) if len(sys.argv) > 1 else 20261122
CASES = 6000

# ---- the grammar ----

ODD = [b'\0', b'\t', b'\x0b', b'\x0c', b'\r', b'\n', b'\x85', b'\xa0', b'\xff', b' ', b'\x7f', b'"', b',', b';']
METHODS = [b'GET', b'POST', b'POST', b'POST', b'PUT', b'HEAD', b'OPTIONS', b'DELETE', b'PATCH', b'get', b'G\tET', b'', b'CONNECT',
           b'PRI', b'POST\0', b'M-SEARCH', b'"GET"']
TARGETS = [b'/', b'/v1/chat/completions', b'/a?b=c', b'*', b'http://a/b', b'http://b/v1', b'a:443', b'//a/b', b'/a b', b'/a\tb',
           b'/a#b', b'/\xc3\xa9', b'/%00', b'', b'/a\rb', b'\\', b'/a?"<>{}|^`', b'http://a:b@c/', b'/a\0']
VERSIONS = [b'HTTP/1.1'] * 12 + [b'HTTP/1.0', b'HTTP/1.2', b'HTTP/2.0', b'HTTP/0.9', b'HTTP/1.10', b'HTTP/01.1', b'http/1.1',
                                 b'HTTP/1.1 ', b'HTTP/ 1.1', b'HTTP/1', b'']
LENGTHS = [b'%d', b'%d', b'%d', b' %d ', b'\t%d', b'+%d', b'-%d', b'0%d', b'0x%x', b'%d,%d', b'%d, %d', b'%d;', b'%d.0', b'1_%d', b'%d %d',
           b'%d\0', b'%d\x0b', b'%de0', b'\xef\xbc\x90%d', b'"%d"', b'99999999999999999999%d', b'18446744073709551616', b'']
CODINGS = [b'chunked', b'chunked', b'Chunked', b' chunked\t', b'chunked, chunked', b'identity', b'gzip, chunked', b'chunked, identity',
           b'identity, chunked', b'xchunked', b'chunked;q=1', b'\x0bchunked', b'chunked\x0b', b'"chunked"', b"'chunked'", b',chunked', b'chunked,',
           b'chun\tked', b'', b'chunked\0', b'x', b'chunked\x85', b'trailers, chunked']
TE_NAMES = [b'Transfer-Encoding'] * 6 + [b'transfer-encoding', b'Transfer_Encoding', b'Transfer-Encoding ', b' Transfer-Encoding',
                                         b'Transfer-Encoding\t', b'Transfer-Encod\xefing', b'X:X\r\nTransfer-Encoding', b'X: X\rTransfer-Encoding',
                                         b'X: X\nTransfer-Encoding', b'Transfer-Encoding\0', b'X: X\r\n\tTransfer-Encoding', b'Trans\rfer-Encoding']
CL_NAMES = [b'Content-Length'] * 6 + [b'content-length', b'Content_Length', b'Content-Length ', b' Content-Length', b'Content-Length\r',
                                      b'Content-Length\x0b', b'X: X\nContent-Length', b'Content-Leng\xc5\xa7h']
EOLS = [b'\r\n'] * 20 + [b'\n', b'\r', b'\r\r\n', b'\n\r', b'\r\n ', b'\r\n\t', b'\0\r\n', b'\x85\r\n']
FIELDS = [b'X-A: b', b'X-A:b', b'X-A:', b'X-A: ', b'X-A:  b  ', b'X-A: b\tc', b'X-A: \xff\xfe', b'X-A: \xe6\xaf\x92', b'Accept: */*', b'Cookie: a=b; c',
          b'X-A : b', b' X-A: b', b'X A: b', b': b', b'X-A', b'X-A: b\0c', b'X-A: b\rc', b'X-A: b\nY: c', b'X-A: b\r\n c', b'X\0: b',
          b'(x): b', b'X-A\t: b', b'X-A: b\x7f', b'X-A: b\x01', b'Connection: close', b'Connection: keep-alive', b'Connection: Content-Length',
          b'Connection: Transfer-Encoding, close', b'Keep-Alive: timeout=5', b'Expect: 100-continue', b'Expect: x', b'Upgrade: h2c',
          b'Connection: Upgrade\r\nUpgrade: websocket', b'Trailer: X-T', b'TE: trailers', b'Content-Type: application/json',
          b'Content-Encoding: gzip', b'Pragma: no-cache', b'Proxy-Connection: keep-alive', b'HTTP2-Settings: AAMAAABk']
HOSTS = [[b'Host: a']] * 16 + [[], [b'Host: a', b'Host: b'], [b'Host: a', b'host: a'], [b'Host: a b'], [b'Host: a/b'], [b'Host: a@b'],
                               [b'Host:'], [b'Host: a,b'], [b'Host: a\tb'], [b'Host: [::1]:80'], [b'Host : a'], [b'Host: a', b'X-Host: b']]
SIZES = [b'%x', b'%x', b'%x', b'%X', b'0%x', b'00000000000000000%x', b'0x%x', b' %x', b'%x ', b'%x\t', b'+%x', b'-%x', b'%x;a', b'%x;a=b', b'%x;a="\n"',
         b'%x ;a', b'%x;\r', b'%x\r', b'1000000000000000%x', b'ffffffffffffffff%x', b'%xg', b'%x,', b'%x\0', b'', b'%x.0', b'_%x', b'%x;a=\x0b']
SECOND = b'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n'
SECOND_ANSWER = b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nSMUGGLED'


def pick(r, options, odd):
    """One of the options: the first and plain one, but for the places that are to be odd."""
    return r.choice(options) if odd else options[0]


def fill(form, n):
    """A length or size as the form has it."""
    return form.replace(b'%d', b'%d' % n).replace(b'%x', b'%x' % n).replace(b'%X', b'%X' % n)


def sprinkle(r, data):
    """A byte put in, left out, or changed."""
    at = r.randrange(len(data) + 1)
    return data[:at] + r.choice([b'', b'', r.choice(ODD), r.choice(ODD), bytes([r.randrange(256)])]) + data[at + r.randrange(2):]


def chunks_of(r, body, odd):
    out, at = b'', 0
    while at < len(body):
        n = r.randrange(1, len(body) - at + 1)
        out += fill(pick(r, SIZES, odd()), n) + pick(r, EOLS, odd()) + body[at:at + n] + pick(r, EOLS, odd())
        at += n
    out += pick(r, [b'0', b'00', b'0;a', b'', b'0 ', b'-0', b'0x0', b'+0'], odd()) + pick(r, EOLS, odd())
    for _ in range(r.choice([0, 0, 0, 1, 2])):
        out += pick(r, [b'X-T: 1', b'Content-Length: 5', b'Transfer-Encoding: chunked', b'Host: b', b' x', b'X-T', b'X T: 1', b'X-T: \0', b'X-T: \n'],
                    odd()) + pick(r, EOLS, odd())
    return out + pick(r, EOLS, odd())


def framing(r, body, odd):
    """Field lines that frame a body, and its bytes."""
    kind = r.choice(['none', 'length', 'length', 'chunked', 'chunked', 'both', 'two lengths', 'two codings'])
    length = pick(r, CL_NAMES, odd()) + b': ' + fill(pick(r, LENGTHS, odd()), len(body))
    coding = pick(r, TE_NAMES, odd()) + b': ' + pick(r, CODINGS, odd())
    chunked = chunks_of(r, body, odd)
    if kind == 'none':
        return [], b''
    if kind == 'length':
        return [length], body
    if kind == 'chunked':
        return [coding], chunked
    if kind == 'both':
        return r.sample([length, coding], 2), r.choice([body, chunked])
    if kind == 'two lengths':
        return [length, pick(r, CL_NAMES, odd()) + b': ' + fill(pick(r, LENGTHS, odd()), r.choice([len(body), 0, 3]))], body
    return [coding, pick(r, TE_NAMES, odd()) + b': ' + pick(r, CODINGS, True)], r.choice([body, chunked])


def message(r, response):
    """One message, more or less odd, and what a smuggler would put behind it."""
    level = r.choice([0.0, 0.0, 0.05, 0.1, 0.2])

    def odd():
        return r.random() < level
    body = r.choice([b'', b'hello', b'{"a":1}', SECOND, b'0\r\n\r\n' + SECOND, b'\r\n', os_bytes(r)])
    lines, content = framing(r, body, odd)
    lines += [pick(r, FIELDS[:10], True) for _ in range(r.randrange(3))] + ([r.choice(FIELDS)] if odd() else [])
    if response:
        status = pick(r, [b'200', b'404', b'500', b'204', b'205', b'304', b'100', b'103', b'101', b'2000', b'20', b'099', b'2x0', b'600', b' 200'], r.random() < 0.3)
        start = pick(r, VERSIONS, odd()) + pick(r, [b' ', b'  ', b'\t', b''], odd()) + status + pick(r, [b' OK', b'', b' ', b' \xff', b'  OK', b' O\0K'], odd())
    else:
        lines = r.choice(HOSTS if odd() else HOSTS[:1]) + lines
        start = pick(r, METHODS[1:], r.random() < 0.2) + pick(r, [b' ', b'  ', b'\t', b''], odd()) + pick(r, TARGETS[1:], r.random() < 0.2) + \
            pick(r, [b' ', b'  ', b'\t', b''], odd()) + pick(r, VERSIONS, odd())
    r.shuffle(lines)
    data = pick(r, [b'', b'\r\n', b'\n', b' ', b'\0'], odd()) + b''.join(
        line + pick(r, EOLS, odd()) for line in [start] + lines) + pick(r, EOLS, odd()) + content
    while odd() or (level and r.random() < 0.1):
        data = sprinkle(r, data)
    return data


def os_bytes(r):
    return bytes(r.randrange(256) for _ in range(r.randrange(20)))


def connection(r, response):
    data = b''.join(message(r, response) for _ in range(r.choice([1, 1, 1, 2])))
    data += r.choice([b'', SECOND_ANSWER if response else SECOND])
    return data[:r.randrange(len(data) + 1)] if r.random() < 0.05 else data


# What is worth being asked each time.
KNOWN = [b'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG' + SECOND,
         b'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n' + SECOND + b'\r\n0\r\n\r\n',
         b'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 0\r\n\r\nhello' + SECOND,
         b'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 5\r\n\r\nhello' + SECOND,
         b'GET / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n' % len(SECOND) + SECOND,
         b'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;a\r\nx\r\n0\r\n\r\n' + SECOND,
         b'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nx\r\n0\r\n\r\n' + SECOND,
         b'POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n' + SECOND,
         b'GET http://a/x HTTP/1.1\r\nHost: b\r\n\r\n' + SECOND,
         b'POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello' + SECOND,
         b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', b'HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc' + SECOND]

# ---- the parsers ----


def drive(command, kind, cases):
    data = b''.join(struct.pack('>I', len(c)) + c for c in cases)
    result = subprocess.run(command + [kind], input=data, capture_output=True, timeout=120)
    lines = result.stdout.decode().split('\n')[:-1]
    if len(lines) != len(cases):
        raise RuntimeError('%s: %d answers to %d cases: %s' % (command[0], len(lines), len(cases), result.stderr[-2000:]))
    return [json.loads(line) for line in lines]


class Listener:
    """httptools' callbacks."""

    def __init__(self):
        self.messages, self.now, self.url, self.fields = [], None, b'', []

    def on_message_begin(self):
        self.url, self.fields, self.now = b'', [], None

    def on_url(self, url):
        self.url += url

    def on_header(self, name, value):
        if self.now is None:
            self.fields.append([text(name), text(value)])

    def on_headers_complete(self):
        start = [text(self.parser.get_method()), text(self.url), int(self.parser.get_http_version()[2:] or 0)]
        self.now = {'start': start, 'fields': self.fields, 'body': '', 'complete': False}
        self.messages.append(self.now)

    def on_body(self, body):
        self.now['body'] += body.hex()

    def on_message_complete(self):
        self.now['complete'] = True


def text(b):
    return b.decode('latin-1')


def with_httptools(cases):
    for data in cases:
        listener = Listener()
        listener.parser = httptools.HttpRequestParser(listener)
        error = None
        try:
            listener.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            error = 'upgrade'
            listener.messages = listener.messages[:-1]
        except httptools.HttpParserError as problem:
            error = str(problem)
        yield {'messages': listener.messages, 'error': error}


def one_h11(data, response):
    """The next message and the bytes behind it."""
    c = h11.Connection(h11.CLIENT if response else h11.SERVER, max_incomplete_event_size=1 << 20)
    if response:
        c.send(h11.Request(method='POST', target='/', headers=[('host', 'a')]))
        c.send(h11.EndOfMessage())
    c.receive_data(data)
    c.receive_data(b'')
    now = None
    while True:
        try:
            event = c.next_event()
        except h11.RemoteProtocolError as problem:
            return now, None, str(problem)
        if isinstance(event, (h11.Request, h11.Response, h11.InformationalResponse)):
            minor = int(event.http_version[2:])
            start = [event.status_code, minor] if response else [text(event.method), text(event.target), minor]
            now = {'start': start, 'fields': [[text(n), text(v)] for n, v in event.headers], 'body': '', 'complete': False}
            if isinstance(event, h11.InformationalResponse):
                now['complete'] = True
                return now, rest_behind(data), None
        elif isinstance(event, h11.Data):
            now['body'] += bytes(event.data).hex()
        elif isinstance(event, h11.EndOfMessage):
            now['complete'] = True
            return now, c.trailing_data[0], None
        else:  # paused, closed, or in want of more
            return now, None, None if now is None and not data else 'incomplete'


def rest_behind(data):
    """Behind the head of an interim answer: h11 goes on by itself, we ask it anew."""
    return data[min(p + len(e) for e in (b'\r\n\r\n', b'\n\n', b'\n\r\n') if (p := data.find(e)) >= 0):]


def with_h11(kind, cases):
    for data in cases:
        messages, error, rest = [], None, data
        while rest and error is None:
            now, rest, error = one_h11(rest, kind == 'response')
            if now:
                messages.append(now)
        yield {'messages': messages, 'error': error}


def go_program():
    place = tempfile.mkdtemp(prefix='sluice-parsers-')
    program = os.path.join(place, 'parse')
    subprocess.run(['go', 'build', '-o', program, os.path.join(PARSERS, 'parse.go')], check=True, timeout=300, capture_output=True,
                   env={**os.environ, 'GO111MODULE': 'off', 'GOCACHE': os.path.join(place, 'cache'), 'GOFLAGS': ''})
    return program


# ---- agreement ----

# Go gives these in places of their own, and adds one.
APART = {'go': {'transfer-encoding', 'trailer', 'host', 'cache-control', 'connection', 'content-length'}}


def fields_of(message, who):
    """Names in lower case, values in order of each name: what a reader of fields goes by."""
    out = {}
    for name, value in message['fields']:
        if name.lower() not in APART.get(who, ()):
            value = value.lower() if name.lower() == 'transfer-encoding' else value  # as h11 gives it
            out.setdefault(name.lower(), []).append(value.strip(' \t'))
    return out


def difference(ours, theirs, who):
    """None where they agree or the other one refuses; else what divides them."""
    for i, mine in enumerate(ours['messages']):
        if i >= len(theirs['messages']):
            return None if theirs['error'] else 'message %d: we see one more' % i
        other = theirs['messages'][i]
        if mine['start'] != other['start']:
            return 'message %d: %r, not %r' % (i, mine['start'], other['start'])
        if fields_of(mine, who) != fields_of(other, who):
            return 'message %d: fields %r, not %r' % (i, fields_of(mine, who), fields_of(other, who))
        if mine['complete'] and other['complete']:
            if mine['body'] != other['body']:
                return 'message %d: body %r, not %r' % (i, mine['body'], other['body'])
        elif other['complete']:  # they go on to read a message where we see a body
            return 'message %d: we wait, they go on' % i
        elif mine['complete']:
            return None if theirs['error'] and theirs['error'] != 'incomplete' else 'message %d: they wait, we go on' % i
        elif not (mine['body'].startswith(other['body']) or other['body'].startswith(mine['body'])):
            return 'message %d: body %r, not %r' % (i, mine['body'], other['body'])
    if not ours['error'] and len(theirs['messages']) > len(ours['messages']):
        return 'they see one more'
    return None


def main():
    subprocess.run(['make', '--no-print-directory', '-s', '-C', TOP, 'parsers'], check=True, timeout=300)
    go = go_program()
    parsers = {
        'httptools': lambda kind, cases: list(with_httptools(cases)),
        'llhttp': lambda kind, cases: drive(['node', '--no-warnings', os.path.join(PARSERS, 'parse.cjs')], kind, cases),
        'h11': lambda kind, cases: list(with_h11(kind, cases)),
        'go': lambda kind, cases: drive([go], kind, cases),
    }
    for kind in ('request', 'response'):
        r = random.Random(SEED)
        cases = ([] if kind == 'response' else KNOWN) + [connection(r, kind == 'response') for _ in range(CASES)]
        ours = drive([OURS], kind, cases)
        passed = [c[:o['passed']] for c, o in zip(cases, ours)]
        through = sum(1 for o in ours if any(m['complete'] for m in o['messages']))
        ok('%s: %d of %d cases have a message that we let through' % (kind, through, len(cases)),
           len(cases) * 0.2 < through < len(cases) * 0.9)
        for who, parse in parsers.items():
            if (who, kind) == ('httptools', 'response'):
                continue  # it leaves to its caller which answers have no body; clients have other parsers
            theirs = parse(kind, passed)
            wrong = [(d, c) for c, o, t in zip(passed, ours, theirs) if (d := difference(o, t, who))]
            stricter = sum(1 for o, t in zip(ours, theirs) if t['error'] and not o['error'])
            looser = sum(1 for o, t in zip(ours, parse(kind, cases)) if o['error'] and not t['error'])
            ok('%s: %s reads what we let through as we do (refuses %d more, takes %d that we refuse)' % (kind, who, stricter, looser),
               not wrong, '%d differ\n' % len(wrong) + '\n'.join('%s\n    %r' % w for w in wrong[:12]))
    finish()


main()
