#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""encodings_test - encoded answers through the gate, as curl and Node read them: whole when clean, live, cut when not."""
import json
import os
import subprocess
import sys
import time
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from codings import NAMES, decode
from gate import (ALPHA, CHAT, FIXTURES, Answer, Ground, ask, dial, finish, isolate, leaks, ok, parse_answer, read_answer,
                  request_bytes, wait_for)

isolate(200)
FORMS = [(c, f) for c in NAMES + ('bare',) for f in ('flush', 'end', 'members') if f != 'members' or c in ('gzip', 'zstd')]

NODE = '''
const out = [];
for (const url of process.argv.slice(1)) {
  let text = '', error = null;
  try {
    const answer = await fetch(url, {method: 'POST', body: '{}'});
    const decoder = new TextDecoder();
    for await (const piece of answer.body) text += decoder.decode(piece, {stream: true});
  } catch (problem) { error = String(problem); }
  out.push({text, error});
}
console.log(JSON.stringify(out));
'''


def fixture(name):
    """The text of a fixture's body."""
    with open(os.path.join(FIXTURES, name + '.http'), 'rb') as file:
        answer = Answer(file.read())
    parse_answer(answer, True)
    return decode(answer.fields['content-encoding'], bytes(answer.body))


def url(ground, name, more=''):
    return 'http://%s:%d%s?raw=%s%s' % (ground.host, ground.port, CHAT, name, more)


def with_curl(ground):
    for coding, form in FORMS:
        name = '%s-%s' % (coding, form)
        said = subprocess.run(['curl', '-sSN', '--compressed', '-d', '{}', url(ground, 'clean-' + name)], capture_output=True,
                              timeout=30)
        one = (coding, form) == ('gzip', 'members')  # curl reads the first member and gives up on the next
        ok('curl: %s passes whole' % name, said.stdout and fixture('clean-' + name).startswith(said.stdout) if one else
           said.returncode == 0 and said.stdout == fixture('clean-' + name), said)
        cut = subprocess.run(['curl', '-sSN', '--compressed', '-d', '{}', url(ground, name + '-hit')], capture_output=True,
                             timeout=30)
        reading = read_answer(cut.stdout)
        ok('curl: %s is cut in front of the match' % name, not leaks(cut.stdout, ALPHA) and b'FORB' not in cut.stdout and
           'Take the '.startswith(reading.texts.get('0.content', '')) and
           (form == 'end' or one or reading.texts.get('0.content') == 'Take the '), cut)
        if form == 'flush' and coding in ('gzip', 'deflate', 'bare'):
            ok('curl: %s ends as the API has it' % name, cut.returncode == 0 and reading.done and
               reading.finish == {0: 'content_filter'}, cut)
        whole = subprocess.run(['curl', '-sSN', '--compressed', '-d', '{}', url(ground, 'hit-json-' + name)], capture_output=True,
                               timeout=30)
        ok('curl: %s in one piece is replaced' % name, whole.returncode == 0 and
           read_answer(whole.stdout).finish == {0: 'content_filter'}, whole)


def with_node(ground):
    names = [n for n in FORMS if n[0] != 'zstd']  # Node 20 reads no zstd
    clean = ['clean-%s-%s' % n for n in names]
    hits = ['%s-%s-hit' % n for n in names]
    said = subprocess.run(['node', '--input-type=module', '-e', NODE] + [url(ground, n) for n in clean + hits],
                          capture_output=True, timeout=60)
    if not ok('node: ran', said.returncode == 0, said):
        return
    answers = json.loads(said.stdout)
    for name, answer in zip(clean, answers):
        ok('node: %s passes whole' % name, not answer['error'] and answer['text'].encode() == fixture(name), answer)
    for name, answer in zip(hits, answers[len(clean):]):
        ok('node: %s is cut in front of the match' % name, 'FORB' not in answer['text'], answer)
        if 'flush' in name and not name.startswith('br'):
            reading = read_answer(answer['text'].encode())
            ok('node: %s ends as the API has it' % name, not answer['error'] and reading.done and
               reading.finish == {0: 'content_filter'}, answer)


def live(ground):
    """An event is there before the next one is sent."""
    with dial(ground) as s:
        s.sendall(request_bytes('POST', CHAT + '?raw=clean-gzip-flush&piece=40&gap=0.1', {}))
        answer, begin, first = Answer(), time.monotonic(), None
        while not parse_answer(answer, False):
            piece = s.recv(65536)
            if not piece:
                break
            answer.raw += piece
            if first is None and answer.raw.count(b'\r\n\r\n'):
                copy = Answer(answer.raw)
                parse_answer(copy, True)
                if b'river' in zlib.decompressobj(31).decompress(bytes(copy.body)):
                    first = time.monotonic() - begin
        last = time.monotonic() - begin
    ok('gzip flushed by the event is live: words after %.1f s of %.1f' % (first or 99, last), first and first < 0.7 * last)


def refused(ground, gate):
    for name, exception in (('bad-stacked', 'content_encoding'), ('bad-br-bomb', 'encoding_bomb'),
                            ('bad-gzip-truncated', 'encoding_malformed'), ('bad-zstd-garbage', 'encoding_malformed'),
                            ('bad-gzip-name', 'encoding_malformed')):
        answer = ask(ground, path=CHAT + '?raw=' + name, body={})
        found = wait_for(lambda: [x for x in gate.exchanges() if x.get('exception') == exception], 3)
        ok('%s: refused as %s, and on record' % (name, exception), answer.status == 502 and exception.encode() in answer.body and
           not leaks(answer.body, ALPHA) and found, answer)


with Ground('fake') as ground:
    with ground.gate() as gate:
        with_curl(ground)
        with_node(ground)
        live(ground)
        refused(ground, gate)
        sums = [x['coverage'] for x in gate.exchanges()]
        ok('coverage adds up in %d exchanges' % len(sums), sums and all(
            int(c.get('in', 0)) == sum(int(c.get(k, 0)) for k in ('scanned', 'structural', 'withheld')) for c in sums), sums[:3])
        counters = gate.status()['counters']
        ok('and no mismatch is counted', counters.get('coverage_mismatches') == 0, counters)
        ok('the daemon is sound', gate.sound(), gate.log())
        ok('it stops by itself, without a leak', gate.stop(), gate.log())
finish()
