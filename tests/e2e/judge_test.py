#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""judge_test - rules that ask a classifier: fixtures at every cut through replay, and a real server behind the gate.

The model is the demonstration's, the rules tests/fixtures/judge/judge.yaml; the installed pack is tried, too.
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import FIXTURES, TOP, Ground, binary, chat, finish, isolate, ok, wait_for

JUDGE = os.path.join(FIXTURES, 'judge')
MODEL = os.path.join(TOP, 'build', 'advertising.model')
CTL = os.path.join(TOP, 'build', 'sluicectl')
isolate(300)


def policy_in(folder):
    shutil.copy(os.path.join(JUDGE, 'judge.yaml'), folder)
    shutil.copy(MODEL, folder)
    return folder


def ctl(*args, stdin=b''):
    return subprocess.run([CTL, *args], input=stdin, capture_output=True, timeout=120)


def replayed(policy):
    with open(os.path.join(JUDGE, 'expect.tsv'), encoding='utf-8') as file:
        rows = [line.rstrip('\n').split('\t') for line in file if not line.startswith('#')]
    for name, code, rule, out, phrase, note in rows:
        path = os.path.join(JUDGE, name)
        result = ctl('replay', '-p', policy, '--request', path + '.req', '--response', path + '.http', '--json', '--cut', 'each')
        said = json.loads(result.stderr.decode().splitlines()[-1]) if result.stderr else {}
        raw = open(path + '.http', 'rb').read()
        ok('%s: %s' % (name, note), result.returncode == int(code) and rule in (said.get('rule') or '-', '*'), said)
        if phrase != '-':
            ok('%s: what was withheld is not in it' % name, phrase.encode() in raw and phrase.encode() not in result.stdout,
               result.stdout)
        if code == '0':
            ok('%s: all of it passes' % name, result.stdout == raw, result.stdout)
        if code == '11' and rule != '*':
            ok('%s: it says how much had gone out' % name, (said.get('exposed_chars', 0) > 0) == (out == 'out') and
               0.5 < said.get('score', 0) <= 1, said)


def text_of(answer):
    events = [line[6:] for line in bytes(answer.body).split(b'\n') if line.startswith(b'data: {')]
    return ''.join(c.get('delta', {}).get('content') or '' for e in events for c in json.loads(e).get('choices', []))


def gated():
    with Ground('chat') as ground:
        policy = os.path.join(ground.dir, 'judge.d')
        os.mkdir(policy)
        policy_in(policy)
        with ground.gate(policy=policy) as gate:
            plain = chat(ground, 'say ADVERT', model='nobody', tokens='short')
            ok('gate: no rule for the model, nothing is held back', plain.complete and '再等一年！ 明天' in text_of(plain), plain)
            cut = chat(ground, 'say ADVERT', model='sentence', tokens='short')
            ok('gate: the sentence before comes, the judged one does not', text_of(cut).strip() == '今天的会议改到三点。', cut)
            ok('gate: and it ends in the API\'s own words', b'"finish_reason":"content_filter"' in bytes(cut.body) and
               bytes(cut.body).rstrip().endswith(b'[DONE]'), cut)
            now = chat(ground, 'say ADVERT', model='now', tokens='short')
            ok('gate: without holding, it ends in the middle of the sentence',
               '限时' in text_of(now) and '一年' not in text_of(now), now)
            ok('gate: a harmless answer comes whole', text_of(chat(ground, 'say GOOD', model='answer')).endswith('lazy dog.'))
            ok('gate: of a whole answer nothing comes', not text_of(chat(ground, 'say ADVERT', model='answer', repeat=2)))
            found = {r['rule_id']: (r, f) for f in gate.findings() for r in f['risks']}
            digest = open(MODEL, 'rb').read()[32:64].hex()
            for rule in ('judge.sentence', 'judge.now', 'judge.answer'):
                risk, finding = found.get(rule, ({}, {}))
                ok('record: %s has engine, score and the model\'s digest' % rule, risk.get('engine') == 'classifier' and
                   0.5 < float(risk.get('score', 0)) <= 1 and risk.get('model') == digest, finding)
            ok('record: what went out is on it', int(found['judge.now'][1].get('exposure', {}).get('chars', 0)) > 0,
               found.get('judge.now'))
            ok('record: and nothing where nothing did', 'exposure' not in found['judge.sentence'][1], found['judge.sentence'])
            with open(os.path.join(policy, 'advertising.model'), 'r+b') as file:
                file.seek(5000)
                file.write(b'\x55\x55\x55')
            gate.process.send_signal(signal.SIGHUP)
            changes = lambda: [e['policy'] for e in gate.events() if 'policy' in e and e['policy'].get('refused')]
            ok('reload: a broken model is refused', wait_for(changes, 20), gate.log())
            check = subprocess.run([binary('sluiced'), '--check', '-c', gate.file], capture_output=True, timeout=30)
            ok('reload: by file and line of the rule', b'judge.yaml:8:' in check.stdout + check.stderr and
               b'the digest does not fit the content' in check.stdout + check.stderr, check)
            ok('reload: and the old one stays', not text_of(chat(ground, 'say ADVERT', model='answer', repeat=2)))
            shutil.copy(MODEL, policy)
            with open(os.path.join(policy, 'judge.yaml'), 'a', encoding='utf-8') as file:
                file.write('  - {id: judge.all, risk: local.advertising, action: block, models: nobody,\n'
                           '     classifier: {model: advertising.model, threshold: 0.9}}\n')
            gate.process.send_signal(signal.SIGHUP)
            ok('reload: a good one is taken in', wait_for(
                lambda: '一年' not in text_of(chat(ground, 'say ADVERT', model='nobody', tokens='short')), 20), gate.log())
            ok('the daemon is sound', gate.sound(), gate.log())


def shipped():
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(os.path.join(TOP, 'packaging', 'model', 'advertising.yaml'), folder)
        shutil.copy(MODEL, folder)
        ok('the installed pack: its examples', ctl('policy', 'test', '-p', folder).returncode == 0)
        ok('the installed pack: selftest', ctl('selftest', '-p', folder, '--quick').returncode == 0)
        show = ctl('policy', 'show', '-p', folder, '--explain', '限时抢购，错过再等一年！').stdout.decode()
        ok('the installed pack: explained', 'advertising.sentence: counts, shadow, classifier 0.9' in show and
           "suspect '抢购' of advertising.words" in show, show)
        scan = ctl('scan', '-p', folder, '--json', stdin='限时抢购，错过再等一年！'.encode())
        hits = [json.loads(line) for line in scan.stdout.splitlines()]
        ok('the installed pack: scanned', scan.returncode == 0 and {h['rule'] for h in hits} ==
           {'advertising.sentence', 'advertising.words'} and all(h['score'] > 0.7 for h in hits), scan)


with tempfile.TemporaryDirectory() as folder:
    replayed(policy_in(folder))
shipped()
gated()
finish()
