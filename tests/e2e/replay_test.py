#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""replay_test - every fixture through `sluicectl replay`: verdict, exit code, not a word leaked, under every cut.

    replay_test.py [NAME...]       SLUICE_CUTS=0 leaves the cuts out
"""
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import ALPHA, FIXTURES, POLICY, TOP, Answer, finish, leaks, need, ok, parse_answer, read_answer
from codings import decode

CTL = os.path.join(TOP, 'build', 'sluicectl')


def expectations():
    with open(os.path.join(FIXTURES, 'expect.tsv'), encoding='utf-8') as file:
        for line in file:
            if not line.startswith('#'):
                yield line.rstrip('\n').split('\t')


def replay(name, *more):
    path = os.path.join(FIXTURES, name)
    return subprocess.run([CTL, 'replay', '-p', POLICY, '--request', path + '.req', '--response', path + '.http', '--json',
                           *more], capture_output=True, timeout=300)


def body_of(raw):
    """The body of released bytes, by their framing as far as it goes, without its encoding."""
    answer = Answer(raw)
    try:
        parse_answer(answer, True)
    except ValueError:
        return raw
    left, coding = bytes(answer.body), answer.fields.get('content-encoding', 'identity').lower()
    return left if coding == 'identity' else decode(coding, left)


def same_start(a, b):
    n = 0
    while n < min(len(a), len(b)) and a[n] == b[n]:
        n += 1
    return n


def redact_problems(raw, out, phrase, channel):
    """All of the phrase is masked, character by character, and nothing else differs."""
    if len(out) != len(raw):
        return ['%d bytes, not %d' % (len(out), len(raw))]
    said, meant = (read_answer(body_of(b)).texts for b in (out, raw))
    for name in meant:
        want = re.sub(re.escape(phrase), lambda m: ''.join('*' if c < '\x80' or '\\u' in raw.decode(errors='replace') else '＊'
                                                          for c in m.group()), meant[name], flags=re.I)
        if channel != '-' and said.get(name) != want:
            return ['%s is %r, not %r' % (name, said.get(name), want)]
    if channel != '-' and '*' not in said[channel] and '＊' not in said[channel]:
        return ['nothing is masked']
    return []


# What the client is told when an answer of that API is refused: streamed, whole.
ENDINGS = {
    'completions': ('"finish_reason":"content_filter"}]}', '"finish_reason":"content_filter"}]'),
    'chat': ('"finish_reason":"content_filter"}]}',) * 2,
    'responses': ('"incomplete_details":{"reason":"content_filter"}',) * 2,
    'anthropic': ('"stop_reason":"refusal"', '"stop_reason":"refusal"'),
    'ollama': ('"done":true,"done_reason":"content_filter"',) * 2,
    'tgi': ('"details":{"finish_reason":"content_filter"',) * 2,
    'sglang': ('"finish_reason":{"type":"content_filter"}',) * 2,
    'llama': ('"stop":true', '"stop":true'),
    'triton': ('{"error":"', '{"error":"'),
    'kserve': ('{"error":"', '{"error":"'),
}


def api_problems(name, result, lead):
    """The released bytes end where they may, and what follows is the API's own ending."""
    api, wrong = name.split('-')[1], []
    report = json.loads(result.stderr.decode().strip().splitlines()[-1])
    if lead != '' and result.returncode in (11, 12) and report['released'] != lead:
        wrong.append('%s bytes released, not %d' % (report['released'], lead))
    rest = result.stdout[report['released']:]
    if leaks(result.stdout, ALPHA):
        wrong.append('leaked: %r' % result.stdout)
    if result.returncode == 11:
        said = ENDINGS.get(api, ('"error"',) * 2)[0 if report['released'] else 1]
        if said.encode() not in rest:
            wrong.append('ends without %s: %r' % (said, rest))
    return wrong


def problems(name, codes, verdicts, phrase, channel, lead):
    """What is wrong with the replay of one fixture, as a list of words."""
    with open(os.path.join(FIXTURES, name + '.http'), 'rb') as file:
        raw = file.read()
    result, wrong = replay(name), []
    if str(result.returncode) not in codes.split(','):
        wrong.append('exit %d, not %s: %s' % (result.returncode, codes, result.stderr.decode(errors='replace')[-300:]))
        if result.returncode not in (0, 10, 11, 12):
            return wrong
    try:
        report = json.loads(result.stderr.decode().strip().splitlines()[-1])
    except (ValueError, IndexError):
        return wrong + ['last line of stderr is not JSON: %r' % result.stderr[-300:]]
    if report.get('verdict') not in verdicts.split(','):
        wrong.append('verdict %s, not %s' % (report.get('verdict'), verdicts))
    if (report.get('verdict') == 'exception') != (report.get('exception') not in (None, '', 'none')):
        wrong.append('verdict %s with exception %r' % (report.get('verdict'), report.get('exception')))
    coverage = report.get('coverage') or {}
    if coverage.get('in') is None or coverage['in'] != sum(coverage.get(k, 0) for k in ('scanned', 'structural', 'withheld')):
        wrong.append('coverage does not add up: %s' % coverage)
    if result.returncode == 0:
        if result.stdout != raw and name != 'bad-after-end':
            wrong.append('not byte-identical: %d of %d bytes, same up to %d' %
                         (len(result.stdout), len(raw), same_start(result.stdout, raw)))
        if report.get('withheld') and name != 'bad-after-end':
            wrong.append('cleared, yet %s withheld' % report['withheld'])
        if coverage.get('in') != len(raw) and name != 'bad-after-end':
            wrong.append('cleared, yet %s of %d bytes covered' % (coverage.get('in'), len(raw)))
    if result.returncode == 11 and not (report.get('rule') and report.get('risk')):
        wrong.append('blocked without rule or risk: %s' % report)
    if result.returncode == 10:
        wrong += redact_problems(raw, result.stdout, phrase, channel)
    if name.startswith('api-'):
        wrong += api_problems(name, result, lead)
    elif phrase != '-':
        body = body_of(result.stdout)
        where = leaks(result.stdout, phrase) + leaks(body, phrase)
        if where:
            wrong.append('leaked: %s' % ', '.join(where))
        if channel != '-':
            said, meant = (read_answer(b).texts.get(channel, '') for b in (body, body_of(raw)))
            if same_start(said, meant) > len(lead):
                wrong.append('part of the match was released: %r' % said[-60:])
        if result.returncode == 11 and name.startswith('hit-') and not name.startswith(('hit-json-error', 'hit-generic')) and \
                'content_filter' not in read_answer(body).finish.values():
            wrong.append('no finish_reason content_filter: %r' % result.stdout[-300:])
    return wrong


def cut_problems(name):
    """`--cut each` itself fails if any result differs; it must end as the whole did."""
    if os.environ.get('SLUICE_CUTS') == '0':
        return []
    whole, each = replay(name), replay(name, '--cut', 'each')
    if whole.returncode != each.returncode:
        return ['exit %d whole, %d with --cut each: %s' %
                (whole.returncode, each.returncode, each.stderr.decode(errors='replace')[-300:])]
    if whole.stdout != each.stdout:
        return ['--cut each releases other bytes']
    one = replay(name, '--cut', '1')
    if (one.returncode, one.stdout) != (whole.returncode, whole.stdout):
        return ['--cut 1 differs: exit %d and %d' % (one.returncode, whole.returncode)]
    return []


def check(row):
    name, codes, verdicts, phrase, channel, lead, _ = row
    try:
        return problems(name, codes, verdicts, phrase, channel, json.loads(lead)), cut_problems(name)
    except subprocess.TimeoutExpired as late:
        return ['took more than %d seconds' % late.timeout], []


def main():
    need(CTL)
    rows = [row for row in expectations() if len(sys.argv) < 2 or row[0] in sys.argv[1:]]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for row, (wrong, cuts) in zip(rows, pool.map(check, rows)):
            ok('%s: %s' % (row[0], row[6]), not wrong, '\n'.join(wrong))
            ok('%s under every cut' % row[0], not cuts, '\n'.join(cuts))
    finish()


if __name__ == '__main__':
    main()
