#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""clients_test - the official openai client, curl and raw sockets through the gate, in front of uvicorn with each parser."""
import json
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import ALPHA, WEASEL, ZH, Ground, chat, finish, get_json, isolate, leaks, node_modules, ok, read_answer, refused, skip

CLEAN = ['GOOD:stream', 'GOOD:whole', 'EMOJI:stream', 'EMOJI:whole', 'TOOLOK:stream', 'TOOLOK:whole']
BLOCKED = ['BAD:stream', 'BAD:whole', 'BADZH:stream', 'BADZH:whole', 'LAST:stream', 'LAST:whole', 'REASON:stream',
           'REASON:whole', 'TOOL:stream', 'TOOL:whole']
PHRASES = (ALPHA, ZH, WEASEL)

folder = node_modules('openai')
isolate(300)


def client(ground, cases):
    shutil.copy(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'openai_client.mjs'), folder)
    result = subprocess.run(['node', os.path.join(folder, 'openai_client.mjs'),
                             'http://%s:%d/v1' % (ground.host, ground.port), *cases],
                            capture_output=True, timeout=120)
    seen = {}
    for line in result.stdout.decode().splitlines():
        answer = json.loads(line)
        seen[answer['case']] = answer
    return seen, result.stdout.decode()


def openai(http, ground):
    direct, _ = client(ground, CLEAN)
    with ground.gate() as gate:
        before = get_json(ground, '/stats')
        seen, _ = client(ground, CLEAN)
        for case in CLEAN:
            ok('openai over %s: %s as without the gate' % (http, case), case in seen and seen[case] == direct.get(case),
               '%s\n%s\n%s' % (seen.get(case), direct.get(case), gate.log()))
        seen, printed = client(ground, BLOCKED)
        after = get_json(ground, '/stats')
        for case in BLOCKED:
            answer = seen.get(case, {})
            ok('openai over %s: %s ends as content_filter, no exception, no retry' % (http, case),
               answer.get('finish') == 'content_filter' and answer.get('error') is None and answer.get('requests') == 1,
               '%s\n%s' % (answer, gate.log()))
        ok('openai over %s: nothing forbidden printed' % http, not any(p in printed for p in PHRASES), printed)
        asked = after.get('requests', 0) - before.get('requests', 0)
        ok('openai over %s: the server was asked once a case' % http, asked == len(CLEAN) + len(BLOCKED),
           '%d requests' % asked)
        ok('openai over %s: the daemon is sound' % http, gate.sound(), gate.log())


def others(ground):
    with ground.gate() as gate:
        for words, phrase in (('BAD', ALPHA), ('BADZH', ZH), ('LAST', WEASEL)):
            for stream in (True, False):
                for ascii in (True, False):
                    for fields in (('Connection: close',), ()):
                        answer = chat(ground, 'say ' + words, stream, fields=fields, ascii=ascii, n=2)
                        ok('raw: %s stream=%s ascii=%s %s' % (words, stream, ascii, 'close' if fields else 'keep-alive'),
                           answer.complete and refused(answer) and not leaks(answer.raw, phrase) and
                           not leaks(answer.body, phrase), answer)
        answer = chat(ground, 'say BAD', True, stream_options={'include_usage': True})
        reading = read_answer(answer.body)
        ok('raw: a blocked stream ends in [DONE]', reading.done, answer)
        url = 'http://%s:%d/v1/chat/completions' % (ground.host, ground.port)
        for words, wanted in (('GOOD', 'lazy dog'), ('BAD', 'content_filter')):
            body = json.dumps({'stream': True, 'messages': [{'role': 'user', 'content': 'say ' + words}]})
            result = subprocess.run(['curl', '-sSN', '--max-time', '20', '-d', body, url], capture_output=True, timeout=30)
            ok('curl: ' + words, result.returncode == 0 and wanted in read_or_raw(result.stdout) and
               ALPHA not in result.stdout.decode(), result)
        for extra in (['--http1.0'], ['-H', 'Expect: 100-continue'], ['-H', 'Transfer-Encoding: chunked'], ['--compressed']):
            body = json.dumps({'stream': True, 'messages': [{'role': 'user', 'content': 'say BAD'}]})
            result = subprocess.run(['curl', '-sSN', '--max-time', '20', *extra, '-d', body, url], capture_output=True,
                                    timeout=30)
            ok('curl %s: BAD' % ' '.join(extra), result.returncode == 0 and b'content_filter' in result.stdout and
               ALPHA.encode() not in result.stdout, result)
        ok('the daemon is sound', gate.sound(), gate.log())


def read_or_raw(body):
    reading = read_answer(body)
    return reading.all_text() + body.decode('utf-8', 'replace')


for http in ('httptools', 'h11'):
    with Ground('chat', '--http', http) as ground:
        if folder:
            openai(http, ground)
        else:
            skip('openai over ' + http, 'npm could not install the client')
with Ground('chat') as ground:
    others(ground)
finish()
