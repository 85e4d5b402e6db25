#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""sdk_test - the official clients of other APIs through the gate: Anthropic's, the AI SDK, openai's beside chat."""
import json
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import ALPHA, WEASEL, ZH, Ground, finish, get_json, isolate, node_modules, ok, skip

CLEAN, BLOCKED = ['GOOD', 'EMOJI'], ['BAD', 'BADZH', 'LAST']
PHRASES = (ALPHA, ZH, WEASEL)
# folder of tests/ground/npm, script, path below the server, ways to ask, how a refusal ends, triggers besides
SUITES = [
    ('anthropic', 'anthropic_client.mjs', '', ['stream', 'whole'], 'refusal', ['TOOLOK'], ['REASON', 'TOOL']),
    ('ai', 'ai_client.mjs', '/v1', ['stream', 'whole'], 'content-filter', ['TOOLOK'], ['REASON']),
    ('openai', 'openai_apis_client.mjs', '/v1', ['completions', 'completions-whole'], 'content_filter', [], []),
    ('openai', 'openai_apis_client.mjs', '/v1', ['responses', 'responses-whole'], 'content_filter', ['TOOLOK'],
     ['REASON', 'TOOL']),
]

folders = {name: node_modules(name) for name in ('anthropic', 'ai', 'openai')}
isolate(300)


def ask(ground, folder, script, path, cases):
    shutil.copy(os.path.join(os.path.dirname(os.path.abspath(__file__)), script), folder)
    result = subprocess.run(['node', os.path.join(folder, script), 'http://%s:%d%s' % (ground.host, ground.port, path), *cases],
                            capture_output=True, timeout=120)
    answers = [json.loads(line) for line in result.stdout.decode().splitlines()]
    return {a['case']: a for a in answers}, result.stdout.decode() + result.stderr.decode()


def suite(ground, gate, direct, name, script, path, ways, ending, more_clean, more_blocked):
    folder = folders[name]
    clean = ['%s:%s' % (w, how) for how in ways for w in CLEAN + more_clean]
    blocked = ['%s:%s' % (w, how) for how in ways for w in BLOCKED + more_blocked]
    before = get_json(ground, '/stats')['requests']
    seen, printed = ask(ground, folder, script, path, clean + blocked)
    asked = get_json(ground, '/stats')['requests'] - before
    for case in clean:
        ok('%s: %s as without the gate' % (script, case), case in seen and seen[case] == direct.get(case) and
           seen[case]['error'] is None, '%s\n%s\n%s' % (seen.get(case), direct.get(case), printed))
    for case in blocked:
        answer = seen.get(case, {})
        # A body that is read to its end gives its connection back before the FIN behind it is seen: the next request may
        # have to be sent again on a new one. The server was not asked twice for it: see below.
        again = case.endswith(':responses')
        ok('%s: %s ends as %s, no exception, no retry' % (script, case, ending), answer.get('finish') == ending and
           answer.get('error') is None and (answer.get('requests') == 1 or again), '%s\n%s' % (answer, gate.log()))
    ok('%s: nothing forbidden printed' % script, not any(p in printed for p in PHRASES), printed)
    ok('%s: the server was asked once a case' % script, asked == len(clean) + len(blocked), '%d requests' % asked)


with Ground('chat') as ground:
    straight = {}
    for name, script, path, ways, _, more, _ in SUITES:
        if folders[name]:
            cases = ['%s:%s' % (w, how) for how in ways for w in CLEAN + more]
            straight[(script, ways[0])] = ask(ground, folders[name], script, path, cases)[0]
    with ground.gate() as gate:
        for row in SUITES:
            if folders[row[0]]:
                suite(ground, gate, straight[(row[1], row[3][0])], *row)
            else:
                skip(row[1], 'npm could not install the client')
        ok('the daemon is sound', gate.sound(), gate.log())
finish()
