#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""redact_test - a rule that redacts, in the daemon: clients get the answer with nothing but the match masked."""
import json
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import ALPHA, WEASEL, ZH, Ground, chat, finish, isolate, leaks, node_modules, ok, skip

CASES = ['%s:%s' % (words, how) for words in ('GOOD', 'BAD', 'BADZH', 'LAST', 'REASON', 'TOOL', 'TOOLOK', 'EMOJI')
         for how in ('stream', 'whole')]
PHRASES = (ALPHA, ZH, WEASEL)
PACK = """# SPDX-License-Identifier: Apache-2.0
pack: redact
version: "1"
rules:
  - {id: redact.all, risk: A.4.f, action: redact, keywords: [%s, %s, %s]}
""" % PHRASES

folder = node_modules('openai')
isolate(300)


def masked(text):
    """What is to come: a mask for each character of a match, as long as it was in bytes."""
    for phrase in PHRASES:
        for mask in ('＊', '*'):
            text = text.replace(phrase, ''.join('*' if c < '\x80' else mask for c in phrase))
    return text


def client(ground):
    shutil.copy(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'openai_client.mjs'), folder)
    result = subprocess.run(['node', os.path.join(folder, 'openai_client.mjs'),
                             'http://%s:%d/v1' % (ground.host, ground.port), *CASES], capture_output=True, timeout=120)
    return {json.loads(line)['case']: json.loads(line) for line in result.stdout.decode().splitlines()}


def openai(ground, gate, direct):
    seen = client(ground)
    for case in CASES:
        want = {k: masked(v) if isinstance(v, str) else v for k, v in direct[case].items()}
        ok('openai: %s comes with its match masked, and nothing else changed' % case, seen.get(case) == want,
           '%s\n%s\n%s' % (seen.get(case), want, gate.log()))
    ok('openai: each was asked once', all(answer['requests'] == 1 for answer in seen.values()), seen)


def mask_bytes(raw):
    """The bytes that are to come, of answers whose matches do not part."""
    text = raw.decode()
    for phrase in PHRASES:
        text = text.replace(phrase, masked(phrase))
        escaped = json.dumps(phrase)[1:-1]
        if escaped != phrase:
            text = text.replace(escaped, '\\u002a' * len(phrase))
    return text.encode()


def raw(ground, gate, words, stream, ascii, plain):
    answer = chat(ground, 'say ' + words, stream, ascii=ascii, n=2)
    name = 'raw: %s stream=%s ascii=%s' % (words, stream, ascii)
    ok(name + ' is complete and as long as it was', answer.complete and len(answer.body) == len(plain.body), answer)
    ok(name + ' holds no match', not any(leaks(answer.body, p) for p in PHRASES), answer)
    if not stream:
        ok(name + ' is the same but for its masks', bytes(answer.body) == mask_bytes(plain.body), answer)


def main():
    with Ground('chat') as ground:
        policy = os.path.join(ground.dir, 'redact.d')
        os.mkdir(policy)
        with open(os.path.join(policy, 'redact.yaml'), 'w', encoding='utf-8') as file:
            file.write(PACK)
        shapes = [(words, stream, ascii) for words in ('BAD', 'BADZH', 'LAST') for stream in (True, False)
                  for ascii in (True, False)]
        plain = [chat(ground, 'say ' + words, stream, ascii=ascii, n=2) for words, stream, ascii in shapes]
        direct = client(ground) if folder else {}
        with ground.gate(policy=policy) as gate:
            if folder:
                openai(ground, gate, direct)
            else:
                skip('openai', 'npm could not install the client')
            for shape, was in zip(shapes, plain):
                raw(ground, gate, *shape, was)
            ok('the daemon is sound', gate.sound(), gate.log())
            ok('it ends', gate.stop(), gate.log())
            verdicts = [e['verdict'] for e in gate.exchanges()]
            ok('the record says REDACTED', verdicts.count('REDACTED') >= len(shapes) and 'BLOCKED' not in verdicts, verdicts)
            ok('so do its findings', gate.findings() and all(f['verdict'] == 'REDACTED' and f['action'] == 'REDACT'
                                                             for f in gate.findings()), gate.findings()[:2])
            sums = [e['coverage'] for e in gate.exchanges() if e['verdict'] == 'REDACTED']
            ok('what was masked is withheld', all(int(c.get('withheld', 0)) > 0 and int(c['in']) == sum(
                int(c.get(k, 0)) for k in ('scanned', 'structural', 'withheld')) for c in sums), sums[:2])
    finish()


main()
